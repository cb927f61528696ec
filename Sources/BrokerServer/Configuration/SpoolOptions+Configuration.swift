import BrokerCore
import MQTTCodec
package import Spool

extension SpoolOptions {
    /// What the configuration means to the spool.
    package init(_ configuration: Configuration) {
        self.init(directory: configuration.node.dataDirectory)
        mode = configuration.durability.mode
        whenCorrupt = configuration.durability.whenCorrupt
        bytesMax = configuration.durability.bytesMax
        freeDiskMin = configuration.durability.freeDiskMin
        session = QueueBounds(
            messagesMax: configuration.queue.messagesMax,
            bytesMax: configuration.queue.bytesMax,
            ageMax: configuration.queue.ageMax,
            whenFull: configuration.queue.whenFull
        )
        session.watermarks = configuration.queue.watermarks
        watermarks = configuration.queue.watermarks
        link.watermarks = configuration.queue.watermarks
        for link in configuration.links {
            var bounds = link.spool
            bounds.watermarks = configuration.queue.watermarks
            links[MQTTString(link.name)] = bounds
            bounds.messagesMax = max(1, link.keptRefusedMax)
            bounds.ageMax = nil
            bounds.whenFull = .dropOldest
            links[RefusedShelf.name(of: MQTTString(link.name))] = bounds
        }
    }
}
