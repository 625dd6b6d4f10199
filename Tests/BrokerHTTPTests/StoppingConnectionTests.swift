@testable import BrokerHTTP
import Foundation
import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Testing

@Suite struct `A connection whose listener stops` {
    private static let request = HTTPRequest(method: .post, scheme: "http", authority: "broker", path: "/oauth/token")

    /// With what a socket does, and an embedded channel does not: what has closed its output still reads.
    private final class Socket: ChannelOutboundHandler {
        typealias OutboundIn = HTTPResponsePart
        /// Whether closing is put off, as TLS does until the peer has said goodbye.
        let lingers: Bool

        init(lingers: Bool) {
            self.lingers = lingers
        }

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            guard mode != .output, !lingers else {
                promise?.succeed()
                return
            }
            context.close(mode: mode, promise: promise)
        }
    }

    private final class Errors: ChannelInboundHandler {
        typealias InboundIn = HTTPRequestPart
        var caught: [any Error] = []
        var wasTold = false

        func errorCaught(context: ChannelHandlerContext, error: any Error) { caught.append(error) }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is ChannelShouldQuiesceEvent { wasTold = true }
        }
    }

    private let loop = EmbeddedEventLoop()
    private let channel: EmbeddedChannel
    private let errors = Errors()

    init() throws {
        channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandlers(
            Socket(lingers: false), ConnectionLimits(ConnectionBounds()), errors)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    private func stop(_ channel: EmbeddedChannel? = nil) {
        (channel ?? self.channel).pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }

    private func ask() throws {
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try channel.writeInbound(HTTPRequestPart.end(nil))
    }

    /// - Returns: the field Connection of the answer.
    private func answer(_ headers: HTTPFields = [:]) throws -> String? {
        try channel.writeOutbound(HTTPResponsePart.head(HTTPResponse(status: .ok, headerFields: headers)))
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        return try written()?.headerFields[.connection]
    }

    private func written() throws -> HTTPResponse? {
        guard case .head(let head)? = try channel.readOutbound(as: HTTPResponsePart.self) else { return nil }
        _ = try channel.readOutbound(as: HTTPResponsePart.self)
        return head
    }

    /// - Returns: whether the connection ends at `time` from now, and not before it.
    private func ends(after time: TimeAmount, _ channel: EmbeddedChannel? = nil) -> Bool {
        let channel = channel ?? self.channel
        loop.advanceTime(by: time - .nanoseconds(1))
        let wasOpen = channel.isActive
        loop.advanceTime(by: .nanoseconds(1))
        return wasOpen && !channel.isActive
    }

    @Test func `has two seconds for its first request`() throws {
        loop.advanceTime(by: .seconds(5))
        stop()
        #expect(ends(after: .seconds(2)))
        #expect(!errors.wasTold, "who is told closes at once what is idle")
    }

    @Test func `has what is left of its own time where that is less`() throws {
        loop.advanceTime(by: .seconds(9))
        stop()
        #expect(ends(after: .seconds(1)))
    }

    @Test func `has a quarter of a second for its next request where it has had an answer`() throws {
        try ask()
        #expect(try answer() == nil)
        loop.advanceTime(by: .seconds(5))
        stop()
        #expect(ends(after: .milliseconds(250)))
    }

    @Test func `is told with its next answer that it is the last, and is closed soon after`() throws {
        try ask()
        #expect(try answer() == nil)
        stop()
        loop.advanceTime(by: .milliseconds(249))
        try ask()
        #expect(try answer() == "close")
        // Another request that was on its way already does not cost it the answer.
        try ask()
        #expect(ends(after: .milliseconds(250)))
        #expect(try written() == nil)
    }

    @Test func `is told so where the listener stopped before its first request`() throws {
        stop()
        loop.advanceTime(by: .milliseconds(1999))
        try ask()
        #expect(try answer() == "close")
        #expect(ends(after: .milliseconds(250)))
    }

    @Test func `has its answer where that is being made, for as long as always`() throws {
        try ask()
        loop.advanceTime(by: .seconds(10))
        stop()
        loop.advanceTime(by: .seconds(19))
        #expect(try answer() == "close")
        #expect(ends(after: .milliseconds(250)))
    }

    @Test func `is refused after that time with an answer`() throws {
        try ask()
        stop()
        loop.advanceTime(by: .seconds(30))
        let head = try #require(try written())
        #expect(head.status == .serviceUnavailable)
        #expect(head.headerFields[.connection] == "close")
    }

    @Test func `has two seconds for the rest of a request, and then 408`() throws {
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        loop.advanceTime(by: .seconds(3))
        stop()
        for _ in 0..<3 {
            loop.advanceTime(by: .milliseconds(600))
            try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(string: "a")))
        }
        #expect(errors.caught.isEmpty)
        loop.advanceTime(by: .milliseconds(200))
        #expect(errors.caught.map { $0 is RequestTimeout } == [true])
        #expect(try answer() == "close")
        // It is still sending.
        #expect(ends(after: .seconds(1)))
    }

    @Test func `has no more time for a request that begins late`() throws {
        stop()
        loop.advanceTime(by: .milliseconds(1900))
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        loop.advanceTime(by: .milliseconds(100))
        #expect(errors.caught.map { $0 is RequestTimeout } == [true])
    }

    @Test(arguments: [false, true])
    func `has two seconds to take an answer`(hadBegun: Bool) throws {
        try ask()
        if !hadBegun { stop() }
        try channel.writeOutbound(HTTPResponsePart.head(HTTPResponse(status: .ok)))
        if hadBegun { stop() }
        #expect(ends(after: .seconds(2)))
    }

    @Test func `has two seconds to take answers that were written before`() throws {
        try ask()
        _ = try answer()
        channel.isWritable = false
        stop()
        #expect(ends(after: .seconds(2)))
    }

    @Test func `has two seconds to take what keeps other answers waiting`() throws {
        try ask()
        // Behind what is not taken, before any of it is written.
        channel.isWritable = false
        stop()
        #expect(ends(after: .seconds(2)))
    }

    @Test func `has all answers to what it sent at once, and is told so with the last`() throws {
        for _ in 0..<3 { try ask() }
        stop()
        #expect(try [answer(), answer(), answer()] == [nil, nil, "close"])
    }

    @Test func `cannot go on by asking again before each answer`() throws {
        try ask()
        stop()
        loop.advanceTime(by: .milliseconds(1999))
        try ask()
        #expect(try answer() == nil)
        try ask()
        loop.advanceTime(by: .milliseconds(1))
        #expect(try answer() == "close")
        #expect(ends(after: .milliseconds(250)))
    }

    @Test func `ends with a stream`() throws {
        try ask()
        try channel.writeOutbound(
            HTTPResponsePart.head(HTTPResponse(status: .ok, headerFields: [.contentType: "text/event-stream"])))
        stop()
        loop.advanceTime(by: .seconds(1))
        try channel.writeOutbound(HTTPResponsePart.body(ByteBuffer(string: ":\n\n")))
        try channel.writeOutbound(HTTPResponsePart.end(nil))
        #expect(ends(after: .milliseconds(250)))
    }

    @Test func `has no more time for a stream that goes on`() throws {
        try ask()
        try channel.writeOutbound(
            HTTPResponsePart.head(HTTPResponse(status: .ok, headerFields: [.contentType: "text/event-stream"])))
        stop()
        loop.advanceTime(by: .seconds(1))
        try channel.writeOutbound(HTTPResponsePart.body(ByteBuffer(string: ":\n\n")))
        #expect(ends(after: .seconds(1)))
    }

    @Test(arguments: [
        ("config/systemd/daypassd.service", "TimeoutStopSec="),
        ("config/kubernetes/daypass.yaml", "terminationGracePeriodSeconds: "),
    ])
    func `has less time than the broker is given to stop`(file: String, setting: String) throws {
        let bounds = ConnectionBounds()
        let most = bounds.lastReceipt + bounds.response + bounds.lastLinger + bounds.farewell
        // As Operations and Architecture say, and the two files themselves.
        #expect(most < .seconds(34))
        #expect(most - bounds.response < .milliseconds(3500))
        let text = try String(
            contentsOf: URL(filePath: #filePath).appending(path: "../../../\(file)").standardized, encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.contains(setting) })
        let seconds = try #require(line.split(separator: setting).last.flatMap { Int64($0) })
        #expect(.seconds(seconds) > most + .seconds(20), "and what the store still has to write")
    }

    @Test(arguments: [false, true])
    func `is cut where its farewell is not answered, also one of before`(hadEnded: Bool) throws {
        let channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandlers(
            ConnectionCut(), Socket(lingers: true), ConnectionLimits(ConnectionBounds()))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        if hadEnded { loop.advanceTime(by: .seconds(10)) }
        stop(channel)
        #expect(ends(after: .milliseconds(hadEnded ? 250 : 2250), channel))
    }
}
