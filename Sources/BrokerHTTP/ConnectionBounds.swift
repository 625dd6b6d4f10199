package import NIOCore

/// What one connection is given: time for each step, and bytes.
package struct ConnectionBounds: Sendable {
    /// From accepting the connection to the end of the first request's head.
    package var firstHead: TimeAmount = .seconds(10)
    /// From a request's head to its end.
    package var body: TimeAmount = .seconds(10)
    /// From a request's end to the end of its response.
    package var response: TimeAmount = .seconds(30)
    /// From a response to the end of the next request's head, and for the response to be taken.
    package var idle: TimeAmount = .seconds(60)
    /// After an answer to what has not wholly arrived: the rest is taken and thrown away, or the answer would be lost with
    /// it (RFC 9112 §9.6).
    package var linger: TimeAmount = .seconds(2)
    /// From the moment at which the listener stops to the end of the last request; and for an answer that begins after it
    /// to be taken. Several round trips around the world.
    package var lastReceipt: TimeAmount = .seconds(2)
    /// In the place of `linger`, once the listener stops.
    package var lastLinger: TimeAmount = .seconds(1)
    /// From that moment for a request to begin on a connection that has had an answer; and for the peer to close as well.
    package var farewell: TimeAmount = .milliseconds(250)
    /// Routes refuse less than this with an answer; beyond it the connection is closed.
    package var bodyLength = 1024 * 1024

    package init() {}

    var shortestTime: TimeAmount { min(firstHead, body, response, idle) }
}
