import BrokerCore
import Foundation

/// Whether the spool may grow: its own bound and what the file system has left. Both let go a sixteenth later than they
/// take hold, so that the broker is not told twice a message. Used by the writer.
final class SpoolRoom {
    private let options: SpoolOptions
    private var isFull = false
    private var isDiskFull = false
    private var nextLook = ContinuousClock.now
    private var marks: LevelMarks
    private(set) var isHigh = false

    /// The file system is asked four times a second at most.
    static let secondsBetweenLooks = 0.25

    init(_ options: SpoolOptions) {
        self.options = options
        marks = Self.marks(options, options.watermarks)
    }

    /// Other watermarks from now on.
    func setWatermarks(_ watermarks: Watermarks) { marks = Self.marks(options, watermarks) }

    /// The bound of a spool is in bytes alone.
    private static func marks(_ options: SpoolOptions, _ watermarks: Watermarks) -> LevelMarks {
        LevelMarks(messagesMax: .max, bytesMax: options.bytesMax, watermarks)
    }

    /// Whether the spool is above its watermark.
    func isHigh(bytesUsed: Int) -> Bool {
        isHigh = marks.isHigh(messages: 0, bytes: bytesUsed, wasHigh: isHigh)
        return isHigh
    }

    /// - Parameter bytes: of the pages of the file, those in use and those free for new rows.
    func refusal(bytes: (used: Int, free: Int), directory: String) -> SpoolRefusal? {
        let bytesMax = options.bytesMax
        isFull = bytes.used >= (isFull ? bytesMax - bytesMax / 16 : bytesMax)
        lookAtDisk(directory, bytesFree: bytes.free)
        return isDiskFull ? .diskFull : isFull ? .full : nil
    }

    /// What is free in the file is disk as well, and is given back little by little. It counts for no more than half of
    /// what must be left: every message goes through the log beside the file first.
    private func lookAtDisk(_ directory: String, bytesFree: Int) {
        guard options.freeDiskMin > 0, ContinuousClock.now >= nextLook else { return }
        nextLook = .now + .seconds(Self.secondsBetweenLooks)
        // A file system that does not say is not refused for: the commits will tell.
        guard let free = options.hooks.freeDisk?() ?? Self.freeBytes(directory) else { return }
        let wanted = options.freeDiskMin + (isDiskFull ? options.freeDiskMin / 16 : 0)
        isDiskFull = free < wanted - min(bytesFree, options.freeDiskMin / 2)
    }

    private static func freeBytes(_ directory: String) -> Int? {
        var system = statvfs()
        guard statvfs(directory, &system) == 0 else { return nil }
        return Int(clamping: UInt64(system.f_bavail) &* UInt64(system.f_frsize))
    }
}
