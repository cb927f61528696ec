import BrokerBench
import NIOCore
import Testing

@Suite("Stamp of a message")
struct MessageStampTests {
    private let stamp = MessageStamp(run: 0xCAFE_0001, publisher: 7, sequence: 1 << 40, intended: 123_456_789_012)

    @Test("what was stamped is read", arguments: [24, 25, 26, 64, 4096])
    func roundTrip(size: Int) {
        let payload = stamp.payload(size: size)
        #expect(payload.readableBytes == size)
        #expect(MessageStamp(of: payload) == stamp)
    }

    @Test("a stamp is rewritten over another one")
    func rewritten() {
        var next = stamp
        next.sequence += 1
        next.intended += 99
        var payload = stamp.payload(size: 100)
        payload.withUnsafeMutableReadableBytes { next.rewrite(in: $0) }
        #expect(MessageStamp(of: payload) == next)
    }

    @Test("a payload that was cut or changed is none of ours")
    func damaged() {
        let payload = stamp.payload(size: 64)
        #expect(MessageStamp(of: payload.getSlice(at: 0, length: 63) ?? payload) == nil)
        #expect(MessageStamp(of: payload.getSlice(at: 0, length: 23) ?? payload) == nil)
        var changed = payload
        changed.setInteger(UInt8(0), at: 63)
        #expect(MessageStamp(of: changed) == nil)
        var mixed = payload
        mixed.setInteger(UInt64(5), at: 8)
        #expect(MessageStamp(of: mixed) == nil)
        #expect(MessageStamp(of: ByteBuffer(string: String(repeating: "hello ", count: 9))) == nil)
    }

    @Test("a payload of somebody else is none of ours, though it has the size of a stamp")
    func foreign() {
        for byte: UInt8 in [0, 1, 0x7F, 0xFF] {
            #expect(MessageStamp(of: ByteBuffer(repeating: byte, count: 24)) == nil)
        }
        for number in 10_000_000..<10_001_000 {
            let text = #"{"temperature":\#(number)}"#
            #expect(text.utf8.count == 24 && MessageStamp(of: ByteBuffer(string: text)) == nil)
        }
    }

    @Test("each bit of a stamp is checked")
    func bits() {
        let payload = stamp.payload(size: 24)
        for bit in 0..<24 * 8 {
            var changed = payload
            let byte = changed.getInteger(at: bit / 8, as: UInt8.self) ?? 0
            changed.setInteger(byte ^ 1 << UInt8(bit % 8), at: bit / 8)
            #expect(MessageStamp(of: changed) == nil, "bit \(bit)")
        }
    }
}
