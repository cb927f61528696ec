import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

/// Files that carry messages of links.
@Suite("Files with messages of a link")
struct BacklogFileTests {
    private let folder: String
    private let header = BacklogHeader(
        id: MessageID(high: 3, low: 4),
        node: 0xABCD,
        nodeName: "away",
        link: "hub",
        made: Timestamp(microseconds: 5),
        isCopy: false
    )

    init() throws {
        folder = SpoolFixture.freshFolder()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    private func file(_ name: String = "stick") throws -> BacklogFile { try BacklogFile("\(folder)/\(name)") }

    private static func message(
        _ text: String,
        _ change: (inout Properties.Values) -> Void = { _ in }
    ) -> CarriedMessage {
        var values = Properties.Values()
        change(&values)
        var properties = Properties()
        properties.values = values
        let message = Message(
            id: MessageID(high: 1_700_000_000_000_000, low: 0xFEED_0001),
            topic: "plant/\u{e4}",
            payload: ByteBuffer(string: text),
            qos: .exactlyOnce,
            isRetained: true,
            properties: properties,
            expiry: Timestamp(microseconds: 1_900_000_000_000_000),
            publisher: "press-4",
            mark: LinkMark(id: MessageID(high: 9, low: 10 << 16), hops: 3)
        )
        return CarriedMessage(message: message, delivery: Delivery(receiver: ReceiverID(7), qos: .atLeastOnce))
    }

    /// What can be read of the first part.
    private static func sound(_ file: BacklogFile) -> [String] {
        do throws(BacklogError) {
            let part = try file.part(0, at: BacklogFile.begin)
            #expect(part.messages.count + part.damaged == 3)
            return part.messages.map { String(buffer: $0.message.payload) }
        } catch {
            #expect(error == .damaged(path: file.path, part: 0))
            return []
        }
    }

    /// A complete file with these parts.
    @discardableResult
    private func write(_ parts: [[CarriedMessage]], to file: BacklogFile) throws -> CarriedFile {
        try file.create(header)
        var journal = CarriedFile(id: header.id, way: .out, link: "hub", offset: BacklogFile.begin)
        for part in parts {
            journal.offset = try file.append(part, as: journal.parts, at: journal.offset)
            journal.parts += 1
            journal.messages += UInt64(part.count)
        }
        try file.seal(journal)
        return journal
    }

    @Test("a message comes out with all that it was")
    func wholeMessage() throws {
        let file = try file()
        let sent = Self.message("payload") {
            $0.contentType = "text/plain"
            $0.correlationData = ByteBuffer(bytes: [0, 255])
            $0.userProperties = [Properties.UserProperty("a", "b")]
        }
        try write([[sent], [Self.message("")]], to: file)
        let content = try #require(try file.content())
        #expect(content.header == header)
        #expect(content.seal?.parts == 2 && content.seal?.messages == 2)
        let part = try file.part(0, at: BacklogFile.begin)
        let got = try #require(part.messages.first)
        #expect(got.message.id == sent.message.id)
        #expect(got.message.topic == sent.message.topic)
        #expect(got.message.payload == sent.message.payload)
        #expect(got.message.qos == .exactlyOnce && got.delivery.qos == .atLeastOnce)
        #expect(got.message.isRetained && !got.delivery.isRetained)
        #expect(got.message.properties == sent.message.properties)
        #expect(got.message.expiry == sent.message.expiry)
        #expect(got.message.publisher == sent.message.publisher && got.message.mark == sent.message.mark)
        #expect(try file.part(1, at: part.next).messages.map(\.message.payload.readableBytes) == [0])
    }

    @Test("a file that lost any byte at its end, or its seal, is not complete")
    func cutOff() throws {
        let file = try file()
        try write([[Self.message("one")], [Self.message("two")]], to: file)
        let whole = try Data(contentsOf: URL(filePath: file.path))
        for length in stride(from: whole.count - 1, to: 512, by: -1) {
            try whole.prefix(length).write(to: URL(filePath: file.path))
            #expect(try file.content()?.seal == nil)
        }
        for length in [0, 1, 100, 511] {
            try whole.prefix(length).write(to: URL(filePath: file.path))
            #expect(throws: BacklogError.notBacklog(path: file.path)) { try file.content() }
        }
    }

    @Test("any bit that flips is noticed: the file, its part or one of its messages is refused, and no other is harmed")
    func damage() throws {
        let file = try file()
        try write([[Self.message("one"), Self.message("two"), Self.message("three")]], to: file)
        let whole = try Data(contentsOf: URL(filePath: file.path))
        for place in stride(from: 512, to: whole.count, by: 3) {
            var bytes = whole
            bytes[place] ^= 0x10
            try bytes.write(to: URL(filePath: file.path))
            guard try file.content()?.seal != nil else { continue }
            let payloads = Self.sound(file)
            #expect(payloads.count < 3, "byte \(place)")
            #expect(Set(payloads).isSubset(of: ["one", "two", "three"]), "byte \(place)")
        }
    }

    @Test("what was written behind the last part that counts goes when the next is written")
    func unconfirmedPart() throws {
        let file = try file()
        try file.create(header)
        let next = try file.append([Self.message("one")], as: 0, at: BacklogFile.begin)
        _ = try file.append([Self.message("nobody heard of it, and it is long")], as: 1, at: next)
        let end = try file.append([Self.message("two")], as: 1, at: next)
        try file.seal(CarriedFile(id: header.id, way: .out, link: "hub", parts: 2, messages: 2, offset: end))
        #expect(try file.part(1, at: next).messages.map { String(buffer: $0.message.payload) } == ["two"])
        #expect(try file.content()?.seal?.parts == 2)
    }

    @Test("who takes a file in is written in it, and a name that is taken is left alone")
    func claims() throws {
        let file = try file()
        try write([], to: file)
        #expect(try file.content()?.claim == nil)
        #expect(try file.claim(for: 0x77))
        let content = try #require(try file.content())
        #expect(content.claim == 0x77 && content.header == header && content.seal != nil)
        #expect(throws: BacklogError.exists(path: file.path)) { try file.create(header) }
        #expect(throws: BacklogError.notAbsolute(path: "stick")) { try BacklogFile("stick") }
        #expect(try self.file("nothing").content() == nil)
    }
}
