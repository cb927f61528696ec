import MQTTCodec

// What the decoder hands out are slices of the read buffer, and a slice of twenty bytes holds all 64 KB of it. Whatever
// outlives its turn is copied into bytes of its own first.

extension Properties {
    /// Takes the correlation data out of the read buffer; all other values are strings and integers.
    mutating func ownBytes() {
        guard let data = correlationData else { return }
        correlationData = data.owned
    }
}

extension Connect.Will {
    /// The will as it is kept until its connection ends.
    var owned: Connect.Will {
        var will = self
        will.payload = payload.owned
        will.properties.ownBytes()
        return will
    }
}
