/// A message of a link's queue outside of it: on its way to a file, or out of one.
package struct CarriedMessage: Sendable {
    package var message: Message
    /// How its link gets it. The receiver is that of the queue where it was last.
    package var delivery: Delivery

    package init(message: Message, delivery: Delivery) {
        self.message = message
        self.delivery = delivery
    }
}
