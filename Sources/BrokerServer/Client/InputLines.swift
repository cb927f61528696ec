import Dispatch
import Foundation
import MQTTCodec
package import NIOCore

/// Lines of a file, read by a thread that stops when as many lines are not taken as were allowed.
package final class InputLines: Sendable {
    package enum Input: Sendable {
        case line(ByteBuffer)
        case end
        case problem(String)
    }

    private let descriptor: Int32
    private let room: DispatchSemaphore

    /// - Parameter ahead: lines that may be read and not taken, 1 or more.
    package init(descriptor: Int32, ahead: Int) {
        self.descriptor = descriptor
        self.room = DispatchSemaphore(value: max(1, ahead))
    }

    /// A line is done with: one more may be read.
    package func taken() { room.signal() }

    /// Called once; `each` is called on the loop, last with `.end` or `.problem`.
    package func start(on loop: any EventLoop, each: @escaping @Sendable (Input) -> Void) {
        let thread = Thread { self.read(on: loop, each) }
        thread.name = "input"
        thread.start()
    }

    private func read(on loop: any EventLoop, _ each: @escaping @Sendable (Input) -> Void) {
        var page = [UInt8](repeating: 0, count: 65_536)
        var line = ByteBuffer()
        while true {
            let count = Foundation.read(descriptor, &page, page.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                let words = String(cString: strerror(errno))
                return loop.execute { each(.problem("standard input cannot be read: \(words)")) }
            }
            guard count > 0 else { break }
            var rest = page[..<count]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                line.writeBytes(rest[..<end])
                rest = rest[(end + 1)...]
                hand(line, to: each, on: loop)
                line = ByteBuffer()
            }
            line.writeBytes(rest)
            guard line.readableBytes <= CodecLimits.variableByteIntegerMax else {
                return loop.execute { each(.problem("a line is longer than a message can be")) }
            }
        }
        // A last line may have no end.
        if line.readableBytes > 0 { hand(line, to: each, on: loop) }
        loop.execute { each(.end) }
    }

    private func hand(_ line: ByteBuffer, to each: @escaping @Sendable (Input) -> Void, on loop: any EventLoop) {
        room.wait()
        loop.execute { each(.line(line)) }
    }
}
