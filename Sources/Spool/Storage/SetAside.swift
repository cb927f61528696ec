import BrokerCore
import MQTTCodec
import NIOCore

/// One thing of a batch that SQLite did not take.
struct SetAside {
    /// What it is, for people.
    var kind: String
    /// Of a message.
    var position: UInt64?
    var name: MQTTString = ""
    var payload = ByteBuffer()

    /// - Parameter at: counted over all parts of the batch, in the order in which they are written.
    init(_ batch: Batch, _ at: Int) {
        var at = at - batch.gone.count - batch.receivers.count
        if at < 0 {
            kind = "receiver"
            return
        }
        if at < batch.subscriptions.count {
            kind = "subscription"
            name = batch.subscriptions[at].filter
            return
        }
        at -= batch.subscriptions.count
        if at < batch.rows.count {
            kind = "message"
            let row = batch.rows[at]
            position = row.position
            (name, payload) = (row.message.topic, row.message.payload)
            return
        }
        at -= batch.rows.count + batch.finished.count + batch.cursors.count + batch.inbound.count
        at -= batch.outbound.count
        if at < 0 {
            kind = "progress"
        } else if at < batch.retained.count {
            kind = "retained"
            name = batch.retained[at].topic
            payload = batch.retained[at].message?.payload ?? ByteBuffer()
        } else if at >= batch.retained.count + batch.wills.count {
            kind = at < batch.retained.count + batch.wills.count + batch.streams.count ? "stream" : "file"
        } else {
            kind = "will"
            guard let will = batch.wills.dropFirst(at - batch.retained.count).first else { return }
            name = will.clientID
            payload = will.record?.message.payload ?? ByteBuffer()
        }
    }
}
