import Foundation
import NIOCore

extension AcceptBackoffHandler {
    /// Stops accepting for a moment when the system has no descriptors or buffers left: accept fails again at once
    /// then, and the loop would turn in circles. Errors of a single connection, which a peer can bring about by
    /// resetting it, stop nothing.
    static func whenSystemIsFull() -> AcceptBackoffHandler {
        AcceptBackoffHandler { error in
            switch error.errnoCode {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: .milliseconds(200)
            default: nil
            }
        }
    }
}
