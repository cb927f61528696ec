package import Foundation

/// An answer of `/admin/v1`: the same type writes it in a node and reads it in `drawbridge ctl`.
///
/// Its names are those of the JSON document, in snake case there.
package protocol AdminDocument: Codable, Sendable, Equatable {}

extension AdminDocument {
    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    package static func decoded(_ data: Data) throws -> Self {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Self.self, from: data)
    }
}
