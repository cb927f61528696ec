import BrokerServer
import Foundation

/// `drawbridge ctl link NAME drop`: takes messages out of the queue for good, in steps that are on disk one by one.
struct LinkDrop {
    private let link: String
    private let options: LinkQueueOptions
    private let path: String

    init(_ link: String, _ options: LinkQueueOptions, _ path: String) {
        self.link = link
        self.options = options
        self.path = path
    }

    func run() throws {
        if options.dryRun || !options.yes {
            let found = try steps(isDryRun: true, "found")
            if options.dryRun { return report(found, "would be dropped") }
            guard found.messages > 0 else { return report(found, "dropped") }
            guard isatty(STDIN_FILENO) == 1 else {
                throw Console.failure(
                    "drawbridge: \(Self.count(found)) would be dropped; say --yes, or --dry-run to see this only")
            }
            let question = "Drop \(Self.count(found)) of link \(link) for good? [y/N] "
            Console.write(Data(question.utf8))
            guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
                throw Console.failure("drawbridge: nothing was dropped")
            }
        }
        report(try steps(isDryRun: false, "dropped"), "dropped")
    }

    private func steps(isDryRun: Bool, _ verb: String) throws -> LinkQueueStep {
        var order = options.order(for: link)
        order.isDryRun = isDryRun
        var sum: LinkQueueStep?
        var progress = ProgressLine()
        defer { progress.clear() }
        while true {
            let step: LinkQueueStep = try Control.ask("drop", order, in: path)
            sum = sum.map { $0.adding(step) } ?? step
            guard let sum, let next = step.next else { break }
            order.after = next
            progress.show("\(verb): \(Self.count(sum))")
        }
        return sum ?? LinkQueueStep()
    }

    private static func count(_ step: LinkQueueStep) -> String {
        "\(Plain.count(step.messages, "message")), \(Plain.size(step.bytes))"
    }

    private func report(_ sum: LinkQueueStep, _ verb: String) {
        print("\(verb): \(Self.count(sum))")
        LinkCarrying.tellLeft(sum)
    }
}

extension LinkQueueStep {
    /// What steps did together.
    func adding(_ step: LinkQueueStep) -> LinkQueueStep {
        var sum = self
        sum.messages += step.messages
        sum.bytes += step.bytes
        sum.inFlight += step.inFlight
        sum.damaged += step.damaged
        sum.messagesSoFar = step.messagesSoFar ?? sum.messagesSoFar
        sum.unnamed = step.unnamed.map { $0 + (sum.unnamed ?? 0) } ?? sum.unnamed
        sum.next = step.next
        return sum
    }
}
