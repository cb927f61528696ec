import BrokerBench
import Testing

@Suite("Messages that were written off")
struct WrittenOffTests {
    @Test("what was written off gives nothing back when it comes, or is skipped; what was sent later does")
    func late() {
        var writtenOff = WrittenOff(publishers: 2)
        #expect(writtenOff.credit(1, through: 0, of: 0) == 1)
        writtenOff.writeOff(0, before: 100)
        #expect(writtenOff.credit(1, through: 98, of: 0) == 0)
        #expect(writtenOff.credit(50, through: 99, of: 0) == 0)
        #expect(writtenOff.credit(1, through: 100, of: 0) == 1)
        // A hundred were skipped, and this one came.
        #expect(writtenOff.credit(101, through: 100, of: 0) == 1)
        #expect(writtenOff.credit(103, through: 102, of: 0) == 3)
        // Messages that were skipped behind those are given back as ever.
        #expect(writtenOff.credit(2, through: 150, of: 0) == 2)
        #expect(writtenOff.credit(0, through: 150, of: 0) == 0)
        #expect(writtenOff.credit(7, through: 50, of: 1) == 7)
    }

    @Test("what was written off once stays so, and no number is too large")
    func ends() {
        var writtenOff = WrittenOff(publishers: 1)
        writtenOff.writeOff(0, before: 100)
        writtenOff.writeOff(0, before: 50)
        #expect(writtenOff.credit(1, through: 60, of: 0) == 0)
        #expect(writtenOff.credit(.max, through: .max, of: 0) == UInt64.max - 99)
        writtenOff.writeOff(7, before: 1)
        #expect(writtenOff.credit(3, through: .max, of: 7) == 3)
    }
}
