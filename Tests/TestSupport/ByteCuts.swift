package import NIOCore

/// The ways in which a network may deliver the same bytes.
package enum ByteCuts {
    /// Calls `body` once for every place at which `bytes` can be cut in two, both ends included.
    package static func inTwo(
        _ bytes: [UInt8], _ body: (_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>) -> Void
    ) {
        for cut in 0...bytes.count { body(bytes[..<cut], bytes[cut...]) }
    }

    /// Feeds `bytes` one at a time into a buffer and calls `body` after each, until it returns something.
    package static func oneByOne<Verdict>(_ bytes: [UInt8], _ body: (inout ByteBuffer) -> Verdict?) -> Verdict? {
        var buffer = ByteBuffer()
        for byte in bytes {
            buffer.writeInteger(byte)
            if let verdict = body(&buffer) { return verdict }
        }
        return nil
    }
}
