import Broker
import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Bounds what one connection can hold on to: time, body, and nothing else that the decoder does not bound already.
///
/// It sits right behind the HTTP decoder, where a request that is sent slowly shows as one that never ends.
final class ConnectionLimits: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    struct Limits: Sendable {
        /// From accepting the connection to the end of the first request's head.
        var firstHead: TimeAmount = .seconds(10)
        /// From a request's head to its end.
        var body: TimeAmount = .seconds(10)
        /// From a request's end to the end of its response, and the response being taken.
        var response: TimeAmount = .seconds(30)
        /// From a response to the end of the next request's head.
        var idle: TimeAmount = .seconds(60)
        /// Routes refuse less than this with an answer; beyond it the connection is closed.
        var bodyLength = 1024 * 1024
    }

    private let limits: Limits
    private var deadline: NIODeadline = .distantFuture
    private var timer: Scheduled<Void>?
    private var isReading = false
    private var unanswered = 0
    private var bodyLength = 0
    private var closesAfterResponse = false
    /// Whether the request that was read last is the last that can be read.
    private var isLastRequest = false

    init(_ limits: Limits) {
        self.limits = limits
    }

    func handlerAdded(context: ChannelHandlerContext) {
        deadline = context.eventLoop.now + limits.firstHead
        schedule(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            isReading = true
            unanswered += 1
            bodyLength = 0
            // We tunnel nothing and upgrade to nothing, but the decoder thinks so: it parses nothing behind such a
            // request and keeps all that comes.
            isLastRequest = head.method == .connect || head.headerFields.contains(.upgrade)
            deadline = context.eventLoop.now + limits.body
            if head.headerFields[.expect]?.lowercased() == "100-continue", unanswered == 1 {
                // RFC 9110 §10.1.1: without it older clients wait a second before they send the body.
                context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
            }
        case .body(let body):
            bodyLength += body.readableBytes
            guard bodyLength <= limits.bodyLength else { return context.close(promise: nil) }
        case .end:
            isReading = false
            deadline = context.eventLoop.now + limits.response
        }
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        guard isReading || !isLastRequest else { return }
        context.read()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head) where head.status.kind != .informational:
            if isLastRequest, unanswered == 1 { head.headerFields[.connection] = "close" }
            closesAfterResponse = head.headerFields[.connection]?.lowercased() == "close"
            // The answer to what no parser accepted is not made by our routes.
            if head.headerFields[.daypassTraceID] == nil {
                head.headerFields[.daypassTraceID] = TraceID().description
            }
            return context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end:
            unanswered -= 1
            if closesAfterResponse {
                context.writeAndFlush(data, promise: promise)
                return context.close(promise: nil)
            }
            if !isReading { deadline = context.eventLoop.now + (unanswered > 0 ? limits.response : limits.idle) }
        default: break
        }
        context.write(data, promise: promise)
    }

    /// One timer for the connection, moved when it fires: far cheaper than one for each request.
    private func schedule(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: deadline) {
            let (handler, context) = bound.value
            guard context.eventLoop.now < handler.deadline else { return context.close(promise: nil) }
            handler.schedule(context)
        }
    }
}

@available(*, unavailable)
extension ConnectionLimits: Sendable {}
