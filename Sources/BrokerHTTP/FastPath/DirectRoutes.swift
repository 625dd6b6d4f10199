import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTPTypes

/// Answers on the event loop what needs no more than memory: `/verify`, `/verify/…`, `/healthz`, `/oauth/jwks`.
///
/// It sits between the decoder with its `ConnectionLimits` and the general router, which would answer the same: so it may
/// pass on whatever it likes. It answers only while nothing that it passed on is unanswered, which keeps the order of
/// pipelined requests, and while the peer takes what is written to it, which the router waits for. What an HTTP connection
/// ends with is the router's.
final class DirectRoutes: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let road: FastPath
    /// Nil over plain HTTP.
    private let identity: ConnectionIdentity?
    private let client: ClientAddress
    private let state: EventLoopState
    /// Requests that were passed on and are not answered yet.
    private var underWay = 0
    /// Whether the rest of the request that is being read belongs to an answer that was given.
    private var isDiscarding = false
    /// Whether the connection ends with a request that was passed on.
    private var isLast = false
    private var needsFlush = false

    init(_ road: FastPath, identity: ConnectionIdentity?, client: ClientAddress, state: EventLoopState) {
        self.road = road
        self.identity = identity
        self.client = client
        self.state = state
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            if !isLast { isLast = Self.endsConnection(head) }
            isDiscarding = !isLast && underWay == 0 && context.channel.isWritable && answer(head, context)
            guard !isDiscarding else { return }
            underWay += 1
        case .body, .end:
            // ConnectionLimits counts a body.
            if isDiscarding { return }
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if needsFlush {
            needsFlush = false
            context.flush()
        }
        context.fireChannelReadComplete()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        // Informational heads have no end of their own.
        if case .end = unwrapOutboundIn(data) { underWay -= 1 }
        context.write(data, promise: promise)
    }

    private func answer(_ head: HTTPRequest, _ context: ChannelHandlerContext) -> Bool {
        let peer = ConnectionPeer(address: client, identity: identity?.peer)
        guard let answer = road.answer(head, from: peer, state) else { return false }
        var response = HTTPResponse(status: answer.status)
        response.headerFields = answer.headers
        context.write(wrapOutboundOut(.head(response)), promise: nil)
        if answer.body.readableBytes > 0, head.method != .head {
            context.write(wrapOutboundOut(.body(answer.body)), promise: nil)
        }
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
        needsFlush = true
        return true
    }

    /// Whether something else than HTTP/1.1's keeping of connections is asked for.
    private static func endsConnection(_ head: HTTPRequest) -> Bool {
        if head.method == .connect || head.headerFields.contains(.upgrade) { return true }
        guard let connection = head.headerFields[.connection] else { return false }
        return connection.lowercased() != "keep-alive"
    }
}

@available(*, unavailable)
extension DirectRoutes: Sendable {}
