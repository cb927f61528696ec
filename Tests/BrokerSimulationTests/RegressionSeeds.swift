/// Every seed that once failed, with its story. A change of the workload gives a seed another run: then look for one that
/// fails without the fix, and put it in the place of the old one.
enum RegressionSeeds {
    struct Seed: Sendable, CustomStringConvertible {
        let seed: UInt64
        let story: String
        var description: String { "\(seed): \(story)" }
    }

    static let all: [Seed] = [
        Seed(seed: 5, story: "the timer of a link's handshake started a second row of pings and cut healthy links"),
        Seed(seed: 89, story: "a repeated PUBREL was answered before the release that it repeats was on disk"),
        Seed(seed: 11, story: "a link of version 3.1.1 heard its own messages again, and old retained messages"),
        Seed(
            seed: 51, story: "a full queue gave up a QoS 2 message that was sent; its identifier stayed at the client"),
        Seed(seed: 182, story: "the same at a link: the upstream gave up what the node below had begun to receive"),
        Seed(seed: 16_960, story: "the run was judged while a client did not read yet: its messages counted as lost"),
        Seed(seed: 19_215, story: "a window of one, fed by pages of one, was still draining when the time was up"),
        Seed(
            seed: 17_651, story: "a message that had expired lived again when the clock was set back, after later ones"),
    ]
}
