import BrokerServer
import Foundation

/// `drawbridge ctl link NAME export FILE` and `import FILE`: a queue that travels on a stick. The node reads and writes the
/// file, with its rights, a part at a time; this asks for one part after the other.
struct LinkCarrying {
    private let link: String
    private let options: LinkQueueOptions
    private let path: String
    private let file: String

    init(_ link: String, _ options: LinkQueueOptions, _ path: String, file: String) {
        self.link = link
        self.options = options
        self.path = path
        self.file = URL(filePath: file).path
    }

    func export() throws {
        var order = options.order(for: link)
        order.file = file
        order.isCopy = options.keep ? true : nil
        let sum = try steps("export", order) { "written: \(Plain.count($0.messagesSoFar ?? 0, "message"))" }
        let remark = options.keep ? "a copy; they wait on" : "they are in no queue any more"
        print("\(file): \(Plain.count(sum.messagesSoFar ?? 0, "message")), complete (\(remark))")
        if sum.isContinued == true { print("It had been begun before: this went on with it.") }
        Self.tellLeft(sum)
    }

    func takeIn() throws {
        var order = options.order(for: link)
        order.file = file
        order.isCopy = options.copy ? true : nil
        order.skipsDamaged = options.skipDamaged ? true : nil
        let sum = try steps("import", order) {
            "taken in: \($0.messagesSoFar ?? 0) of \(Plain.count($0.messagesInFile ?? 0, "message"))"
        }
        if sum.wasTakenIn == true {
            return print("\(file): all of it was taken in before; nothing was done")
        }
        print("\(file): \(Plain.count(sum.messages, "message")) taken in, \(sum.messagesSoFar ?? 0) in all, complete")
        if let unnamed = sum.unnamed, unnamed > 0 {
            print("No rule of the link takes \(unnamed) of them: they leave under the names that they have.")
        }
        if sum.damaged > 0 { print("\(Plain.count(sum.damaged, "damaged message")) of the file were left out.") }
        if sum.isUnclaimed == true {
            print("It could not be noted in the file that it was taken in here: take it in nowhere else.")
        }
    }

    /// What was put aside goes into the queue again.
    func replay() throws {
        let sum = try steps("replay", options.order(for: link)) { sum in
            "in the queue again: \(Plain.count(sum.messages, "message"))"
        }
        print("in the queue again: \(Plain.count(sum.messages, "message")), \(Plain.size(sum.bytes))")
    }

    /// What was wanted and is still there.
    static func tellLeft(_ sum: LinkQueueStep) {
        if sum.inFlight > 0 {
            print("\(Plain.count(sum.inFlight, "message")) in flight stay: the upstream may have them already.")
        }
        if sum.damaged > 0 {
            Console.error("drawbridge: \(Plain.count(sum.damaged, "damaged row")) stay; the log says more")
        }
    }

    private func steps(
        _ name: String,
        _ first: LinkQueueOrder,
        _ text: (LinkQueueStep) -> String
    ) throws -> LinkQueueStep {
        var order = first
        var sum: LinkQueueStep?
        var progress = ProgressLine()
        defer { progress.clear() }
        while true {
            let step: LinkQueueStep = try Control.ask(name, order, in: path)
            let now = sum.map { $0.adding(step) } ?? step
            sum = now
            guard let next = step.next else { return now }
            order.after = next
            order.through = step.through
            progress.show(text(now))
        }
    }
}
