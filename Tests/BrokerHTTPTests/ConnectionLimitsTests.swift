@testable import BrokerHTTP
import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Testing

@Suite struct `The limits of a connection` {
    private static let request = HTTPRequest(method: .post, scheme: "http", authority: "broker", path: "/oauth/token")

    private func connection() throws -> (EmbeddedChannel, EmbeddedEventLoop) {
        let loop = EmbeddedEventLoop()
        let channel = EmbeddedChannel(handler: ConnectionLimits(.init()), loop: loop)
        try channel.pipeline.syncOperations.addHandler(HalfClosing(), position: .first)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return (channel, loop)
    }

    /// As a socket does, and an embedded channel does not: what has closed its output still reads.
    private final class HalfClosing: ChannelOutboundHandler {
        typealias OutboundIn = HTTPResponsePart

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            guard mode != .output else {
                promise?.succeed()
                return
            }
            context.close(mode: mode, promise: promise)
        }
    }

    private func respond(_ channel: EmbeddedChannel, _ headers: HTTPFields = [:]) throws {
        try channel.writeOutbound(HTTPResponsePart.head(HTTPResponse(status: .ok, headerFields: headers)))
        try channel.writeOutbound(HTTPResponsePart.end(nil))
    }

    @Test func `a connection that sends no request is closed after ten seconds`() throws {
        let (channel, loop) = try connection()
        loop.advanceTime(by: .seconds(9))
        #expect(channel.isActive)
        loop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    /// What a connection is told by an error, to be answered by whoever reads the request.
    private final class Errors: ChannelInboundHandler {
        typealias InboundIn = HTTPRequestPart
        var caught: [any Error] = []

        func errorCaught(context: ChannelHandlerContext, error: any Error) { caught.append(error) }
    }

    @Test func `a body that trickles in is given up ten seconds after its head, and its connection with the answer`()
        throws
    {
        let (channel, loop) = try connection()
        let errors = Errors()
        try channel.pipeline.syncOperations.addHandler(errors)
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        for _ in 0..<9 {
            loop.advanceTime(by: .seconds(1))
            try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(string: "a")))
        }
        #expect(errors.caught.isEmpty)
        loop.advanceTime(by: .seconds(1))
        #expect(errors.caught.map { $0 is RequestTimeout } == [true])
        try respond(channel)
        guard case .head(let head)? = try channel.readOutbound(as: HTTPResponsePart.self) else {
            Issue.record("no response")
            return
        }
        #expect(head.headerFields[.connection] == "close")
        // What still comes is taken for a while, so that the answer gets through.
        try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(string: "a")))
        loop.advanceTime(by: .seconds(1))
        #expect(channel.isActive)
        loop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    @Test func `a body that nobody answers ends its connection after the time of a response`() throws {
        let (channel, loop) = try connection()
        try channel.pipeline.syncOperations.addHandler(Errors())
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        loop.advanceTime(by: .seconds(39))
        #expect(channel.isActive)
        loop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    @Test func `each time is kept, whichever came before it`() throws {
        let (channel, loop) = try connection()
        for _ in 0..<3 {
            try channel.writeInbound(HTTPRequestPart.head(Self.request))
            try channel.writeInbound(HTTPRequestPart.end(nil))
            try respond(channel)
            loop.advanceTime(by: .seconds(7))
        }
        // The timer was last set for the end of the idle time.
        let errors = Errors()
        try channel.pipeline.syncOperations.addHandler(errors)
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        loop.advanceTime(by: .nanoseconds(9_999_999_999))
        #expect(errors.caught.isEmpty)
        loop.advanceTime(by: .nanoseconds(1))
        #expect(errors.caught.count == 1)
    }

    @Test func `what is thrown away behind the last answer is bounded as well`() throws {
        let (channel, _) = try connection()
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try respond(channel, [.connection: "close"])
        try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0, count: 1024 * 1024)))
        #expect(channel.isActive)
        try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0, count: 1)))
        #expect(!channel.isActive)
    }

    @Test func `no answer follows the last one`() throws {
        let (channel, loop) = try connection()
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try channel.writeInbound(HTTPRequestPart.end(nil))
        loop.advanceTime(by: .seconds(30))
        guard case .head(let head)? = try channel.readOutbound(as: HTTPResponsePart.self) else {
            Issue.record("no response")
            return
        }
        #expect(head.status == .serviceUnavailable)
        #expect(head.headerFields[.retryAfter] == "1")
        _ = try channel.readOutbound(as: HTTPResponsePart.self)
        #expect(throws: (any Error).self) { try respond(channel) }
        #expect(try channel.readOutbound(as: HTTPResponsePart.self) == nil)
    }

    @Test func `a body of more than a mebibyte closes the connection`() throws {
        let (channel, _) = try connection()
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0, count: 1024 * 1024)))
        #expect(channel.isActive)
        try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0, count: 1)))
        #expect(!channel.isActive)
    }

    @Test func `a response may take thirty seconds, and after it the connection idles for sixty`() throws {
        let (channel, loop) = try connection()
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try channel.writeInbound(HTTPRequestPart.end(nil))
        loop.advanceTime(by: .seconds(29))
        #expect(channel.isActive)
        try respond(channel)
        loop.advanceTime(by: .seconds(59))
        #expect(channel.isActive)
        loop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    @Test func `a response that is never taken closes the connection`() throws {
        let (channel, loop) = try connection()
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try channel.writeInbound(HTTPRequestPart.end(nil))
        loop.advanceTime(by: .seconds(30))
        #expect(!channel.isActive)
    }

    @Test func `a stream goes on while it is written to, and is closed thirty seconds after its reader stopped`() throws
    {
        let (channel, loop) = try connection()
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try channel.writeInbound(HTTPRequestPart.end(nil))
        try channel.writeOutbound(
            HTTPResponsePart.head(HTTPResponse(status: .ok, headerFields: [.contentType: "text/event-stream"])))
        for _ in 0..<10 {
            try channel.writeOutbound(HTTPResponsePart.body(ByteBuffer(string: ":\n\n")))
            loop.advanceTime(by: .seconds(20))
            #expect(channel.isActive)
        }
        // Nothing is written to whoever takes nothing.
        loop.advanceTime(by: .seconds(10))
        #expect(!channel.isActive)
    }

    @Test func `a client that waits for 100 Continue gets it`() throws {
        let (channel, _) = try connection()
        var request = Self.request
        request.headerFields[.expect] = "100-continue"
        try channel.writeInbound(HTTPRequestPart.head(request))
        guard case .head(let head)? = try channel.readOutbound(as: HTTPResponsePart.self) else {
            Issue.record("no informational response")
            return
        }
        #expect(head.status == .continue)
    }

    @Test func `a response without a trace id gets one, and one that has it keeps it`() throws {
        let (channel, _) = try connection()
        for headers in [[:], [.daypassTraceID: "kept"]] as [HTTPFields] {
            try channel.writeInbound(HTTPRequestPart.head(Self.request))
            try channel.writeInbound(HTTPRequestPart.end(nil))
            try respond(channel, headers)
            guard case .head(let head)? = try channel.readOutbound(as: HTTPResponsePart.self) else {
                Issue.record("no response")
                return
            }
            let trace = try #require(head.headerFields[.daypassTraceID])
            #expect(headers.isEmpty ? trace.utf8.count == 32 : trace == "kept")
            _ = try channel.readOutbound(as: HTTPResponsePart.self)
        }
    }

    /// Counts what is asked of the socket.
    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = HTTPResponsePart
        var count = 0

        func read(context: ChannelHandlerContext) {
            count += 1
            context.read()
        }
    }

    @Test(arguments: [HTTPRequest.Method.connect, .get])
    func `nothing is read behind a request that ends HTTP, and its answer ends the connection`(
        method: HTTPRequest.Method
    ) throws {
        let (channel, _) = try connection()
        let reads = Reads()
        try channel.pipeline.syncOperations.addHandler(reads, position: .first)
        var last = Self.request
        last.method = method
        if method == .get { last.headerFields[.upgrade] = "websocket" }
        for request in [Self.request, last] {
            try channel.writeInbound(HTTPRequestPart.head(request))
            channel.read()
            try channel.writeInbound(HTTPRequestPart.end(nil))
        }
        // Reading the body of the last one is still asked for; what follows it is not.
        #expect(reads.count == 2)
        channel.read()
        #expect(reads.count == 2)
        try respond(channel)
        #expect(channel.isActive, "the request before it has been answered, and the last one has not")
        try respond(channel)
        #expect(!channel.isActive)
    }

    @Test func `a response that says so closes the connection`() throws {
        let (channel, _) = try connection()
        try channel.writeInbound(HTTPRequestPart.head(Self.request))
        try channel.writeInbound(HTTPRequestPart.end(nil))
        try respond(channel, [.connection: "close"])
        #expect(!channel.isActive)
    }
}
