import NIOCore

/// Reads the fields of one packet, which is complete in `buffer`, from front to back (§1.5).
///
/// Every read checks what is left first; a field that does not fit makes the packet malformed. Offsets count from
/// the first byte of the packet, so that they go into errors as they are.
struct PacketReader {
    private let buffer: ByteBuffer
    /// Where the next field begins.
    private(set) var offset: Int
    /// Behind the last byte of the packet, or of the properties while these are read.
    private(set) var end: Int
    var version: ProtocolVersion
    let flags: UInt8
    let role: PacketDecoder.Role
    let limits: CodecLimits

    /// - Parameter buffer: begins with the fixed header and holds at least the whole packet.
    init(
        _ buffer: ByteBuffer,
        header: FixedHeader,
        version: ProtocolVersion,
        role: PacketDecoder.Role,
        limits: CodecLimits
    ) {
        self.buffer = buffer
        self.offset = header.length
        self.end = min(header.packetSize, buffer.readableBytes)
        self.version = version
        self.flags = header.flags
        self.role = role
        self.limits = limits
    }

    var remaining: Int { end - offset }
    var isAtEnd: Bool { offset == end }

    // MARK: Errors

    func malformed(_ statement: String, _ explanation: String) -> DecodeError {
        DecodeError(reason: .malformedPacket, statement: statement, explanation: explanation, offset: offset)
    }

    func protocolError(_ statement: String, _ explanation: String) -> DecodeError {
        DecodeError(reason: .protocolError, statement: statement, explanation: explanation, offset: offset)
    }

    func overLimit(_ explanation: String) -> DecodeError {
        DecodeError(reason: .quotaExceeded, statement: "[5:§5.4.10]", explanation: explanation, offset: offset)
    }

    /// The statement of the version that the peer speaks.
    func statement(_ five: String, _ three: String) -> String { version == .v5 ? five : three }

    private func cutShort(_ field: String) -> DecodeError {
        malformed(statement("[5:§4.13.1]", "[311:MQTT-4.8.0-1]"), field)
    }

    // MARK: Integers

    mutating func byte() throws(DecodeError) -> UInt8 {
        guard remaining >= 1, let value = buffer.getInteger(at: buffer.readerIndex + offset, as: UInt8.self) else {
            throw cutShort("packet ends before a byte")
        }
        offset += 1
        return value
    }

    mutating func twoByteInteger() throws(DecodeError) -> UInt16 {
        guard remaining >= 2, let value = buffer.getInteger(at: buffer.readerIndex + offset, as: UInt16.self) else {
            throw cutShort("packet ends within a two byte integer")
        }
        offset += 2
        return value
    }

    mutating func fourByteInteger() throws(DecodeError) -> UInt32 {
        guard remaining >= 4, let value = buffer.getInteger(at: buffer.readerIndex + offset, as: UInt32.self) else {
            throw cutShort("packet ends within a four byte integer")
        }
        offset += 4
        return value
    }

    /// A Variable Byte Integer within the packet; the remaining length is read by `FixedHeader`.
    mutating func variableByteInteger() throws(DecodeError) -> Int {
        var value = 0
        for position in 0..<4 {
            let byte = try byte()
            value |= Int(byte & 0x7F) << (7 * position)
            if byte & 0x80 == 0 {
                // [5:MQTT-1.5.5-1] the shortest form only; two ways to write a packet hide things from filters.
                if position > 0 && byte == 0 { throw malformed("[5:MQTT-1.5.5-1]", "integer not in its shortest form") }
                return value
            }
        }
        throw malformed("[5:§1.5.5]", "variable byte integer longer than four bytes")
    }

    /// [5:MQTT-2.2.1-3] [311:MQTT-2.3.1-1] a packet identifier is never 0.
    mutating func packetID() throws(DecodeError) -> UInt16 {
        let id = try twoByteInteger()
        if id == 0 {
            throw protocolError(statement("[5:MQTT-2.2.1-3]", "[311:MQTT-2.3.1-1]"), "packet identifier 0")
        }
        return id
    }

    // MARK: Strings and data

    /// Whether the next field is a string or datum of length 0.
    var nextFieldIsEmpty: Bool {
        remaining >= 2 && buffer.getInteger(at: buffer.readerIndex + offset, as: UInt16.self) == 0
    }

    /// A UTF-8 string without further rules.
    mutating func string() throws(DecodeError) -> MQTTString {
        let length = try fieldLength()
        let (text, survey) = unsafe withBytes(length) { (bytes) -> (MQTTString?, TextSurvey) in
            let survey = unsafe TextSurvey(bytes)
            return (survey.hasNull ? nil : unsafe MQTTString(validating: bytes, survey), survey)
        }
        guard let text else { throw unsafe withBytes(length) { unsafe textFault($0) } }
        try checkCharacters(of: text, survey)
        offset += length
        return text
    }

    /// A topic name; when its bytes are those of `known`, that string is handed back without looking at it again.
    mutating func topicName(known: MQTTString? = nil) throws(DecodeError) -> MQTTString {
        let length = try fieldLength()
        if let known, unsafe withBytes(length, { unsafe known.isEqual(to: $0) }) {
            offset += length
            return known
        }
        if length > limits.maximumTopicBytes { throw tooLong(.topicNameInvalid) }
        let (text, survey) = unsafe withBytes(length) { (bytes) -> (MQTTString?, TextSurvey) in
            let survey = unsafe TextSurvey(bytes)
            return unsafe (MQTTString(validating: bytes, survey), survey)
        }
        guard let text, !survey.hasNull else { throw unsafe withBytes(length) { unsafe textFault($0) } }
        try checkCharacters(of: text, survey)
        try TopicName.validate(survey, count: length, maximumLevels: limits.maximumTopicLevels, offset: offset)
        offset += length
        return text
    }

    /// A topic filter (§4.7, §4.8.2).
    mutating func topicFilter() throws(DecodeError) -> TopicFilter {
        let start = offset
        let text = try string()
        if text.count > limits.maximumTopicBytes { throw tooLong(.topicFilterInvalid) }
        do throws(DecodeError) {
            return try TopicFilter(validating: text, maximumLevels: limits.maximumTopicLevels)
        } catch {
            var error = error
            error.offset = start
            throw error
        }
    }

    /// - Complexity: nothing more to look at when the string is ASCII.
    private func checkCharacters(of text: MQTTString, _ survey: TextSurvey) throws(DecodeError) {
        guard limits.refusesControlCharacters, survey.hasControl || !survey.isASCII && text.hasControlCharacters else {
            return
        }
        throw malformed(statement("[5:§1.5.4]", "[311:§1.5.3]"), "control character or non-character in a string")
    }

    private func tooLong(_ reason: ReasonCode) -> DecodeError {
        DecodeError(
            reason: reason,
            statement: statement("[5:MQTT-4.7.3-3]", "[311:MQTT-4.7.3-3]"),
            explanation: "topic above \(limits.maximumTopicBytes) bytes",
            offset: offset
        )
    }

    /// Binary data; a slice of the read buffer.
    mutating func binaryData() throws(DecodeError) -> ByteBuffer {
        try slice(fieldLength())
    }

    /// All that is left; a slice of the read buffer.
    mutating func rest() throws(DecodeError) -> ByteBuffer { try slice(remaining) }

    /// Nothing may follow the last field: what is not understood is not skipped.
    func expectEnd() throws(DecodeError) {
        if !isAtEnd { throw malformed(statement("[5:§4.13.1]", "[311:MQTT-4.8.0-1]"), "bytes behind the last field") }
    }

    // MARK: Properties

    /// Calls `body` with the end set `length` bytes ahead, so that no field reads past it; `body` reads all of it.
    mutating func within(
        _ length: Int,
        _ body: (inout PacketReader) throws(DecodeError) -> Void
    ) throws(DecodeError) {
        guard length <= remaining else { throw cutShort("property length beyond the end of the packet") }
        let packetEnd = end
        end = offset + length
        try body(&self)
        end = packetEnd
    }

    /// The property section, when all that stands in it is a mark as we write it; else nothing is read.
    mutating func takeMarkAlone() -> LinkMark? {
        let found = unsafe withBytes(remaining) { (bytes) -> (LinkMark, Int)? in
            guard let first = unsafe bytes.first, first <= 0x7F, bytes.count > Int(first) else { return nil }
            let section = unsafe UnsafeRawBufferPointer(rebasing: bytes[1..<1 + Int(first)])
            return unsafe LinkMark(section: section).map { ($0, section.count) }
        }
        guard let (mark, length) = found else { return nil }
        offset += 1 + length
        return mark
    }

    // MARK: Bytes

    private mutating func fieldLength() throws(DecodeError) -> Int {
        let length = Int(try twoByteInteger())
        guard length <= remaining else { throw cutShort("field longer than the packet") }
        return length
    }

    private mutating func slice(_ length: Int) throws(DecodeError) -> ByteBuffer {
        guard let slice = buffer.getSlice(at: buffer.readerIndex + offset, length: length) else {
            throw cutShort("field longer than the packet")
        }
        offset += length
        return slice
    }

    /// The next `length` bytes, which the caller found to be there; fewer if the buffer ends before, never more.
    private func withBytes<Result>(_ length: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        unsafe buffer.withUnsafeReadableBytes { all in
            let start = min(offset, all.count)
            let stop = min(start + length, all.count)
            return unsafe body(UnsafeRawBufferPointer(rebasing: all[start..<stop]))
        }
    }

    /// Which of the two rules for strings these bytes break.
    private func textFault(_ bytes: UnsafeRawBufferPointer) -> DecodeError {
        if unsafe MQTTString(validating: bytes, TextSurvey(bytes)) == nil {
            return malformed(statement("[5:MQTT-1.5.4-1]", "[311:MQTT-1.5.3-1]"), "string is not UTF-8")
        }
        return malformed(statement("[5:MQTT-1.5.4-2]", "[311:MQTT-1.5.3-2]"), "U+0000 in a string")
    }
}
