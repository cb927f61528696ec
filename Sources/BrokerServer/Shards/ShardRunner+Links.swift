import BrokerCore
import MQTTCodec
import NIOPosix
import Spool

/// What a node knows of its links: the shard what they do, the spool what waits for them.
extension ShardRunner {
    /// Looks up how old the oldest messages are, which is a matter of the disk, and tells of all links then.
    func lookAtLinks(_ now: Now) {
        let (spool, post) = (spool, post)
        let receivers = shard.links.map(\.receiver).filter { spool.depth(of: $0) > 0 }
        guard !receivers.isEmpty else { return tellLinks([:], now) }
        NIOThreadPool.singleton.submit { state in
            guard case .active = state else { return }
            do throws(SpoolError) {
                post(.arrivals(try spool.arrivals(of: receivers)))
            } catch {
                // The spool says what is wrong with it; nothing is known of the ages.
                post(.arrivals([:]))
            }
        }
    }

    func tellLinks(_ arrivals: [ReceiverID: Timestamp], _ now: Now) {
        self.arrivals = arrivals
        for link in shard.links { tellDetail(of: link, now) }
    }

    func tellDetail(of link: Link, _ now: Now) {
        let tally = spool.tally(of: link.receiver)
        var queue = LinkQueueFigures(messages: tally.waiting, bytes: tally.bytes)
        if tally.waiting > 0, let oldest = arrivals[link.receiver] {
            queue.oldestSeconds = now.wall.seconds(since: oldest)
        }
        shard.tellDetail(of: link, queue, now: now)
    }

    func linkAccounts(_ now: Now) -> [LinkAccount] {
        shard.links.map { link in
            link.lookAtPace(now)
            return LinkAccount(
                name: link.settings.name.string,
                receiver: link.receiver,
                state: link.state,
                isConnected: link.machine.isConnected,
                peer: link.peer,
                since: link.since,
                lastError: link.lastError,
                traffic: link.traffic,
                pace: link.pace,
                probeDelay: link.probe.delay,
                tally: spool.tally(of: link.receiver)
            )
        }
    }
}

/// What the shard and the books of the spool say of one link at one moment.
struct LinkAccount: Sendable {
    var name: String
    var receiver: ReceiverID
    var state: LinkMachine.State
    var isConnected: Bool
    /// The address that it is connected to.
    var peer: String?
    var since: Timestamp
    var lastError: String?
    var traffic: LinkTraffic
    var pace: LinkPace
    var probeDelay: Duration?
    var tally: ReceiverTally
}

extension Timestamp {
    /// Whole seconds; 0 for a time that is still to come.
    func seconds(since earlier: Timestamp) -> Int {
        self > earlier ? Int(clamping: (microseconds - earlier.microseconds) / 1_000_000) : 0
    }
}
