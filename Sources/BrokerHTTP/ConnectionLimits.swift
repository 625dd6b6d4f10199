import Broker
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Bounds what one connection can hold on to: time, body, and what of its headers the decoder bounds; counts and answers
/// what runs into a bound.
///
/// It sits right behind the HTTP decoder, where a request that is sent slowly shows as one that never ends. What can
/// still be answered is: 408 for a request that began and did not end in time (RFC 9110 §15.5.9), 431 for headers (RFC
/// 6585 §5), 503 for work that takes too long. A connection on which nothing is under way is closed without a word.
///
/// Where the listener stops, a request may still come for a moment, for longer on a connection that has had no answer: who
/// was accepted a moment before has one on the way. The answer to the last one says that it is the last (RFC 9112 §9.6).
/// Only answers that are being made have the time that they always have.
final class ConnectionLimits: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let limits: ConnectionBounds
    private let refusals: LimitRefusals?
    private var deadline: NIODeadline = .distantFuture
    private var timer: Scheduled<Void>?
    private var isRemoved = false
    private var isReading = false
    private var unanswered = 0
    private var bodyLength = 0
    /// Whether the head of a response has gone out, and its end has not.
    private var isAnswering = false
    /// Whether what is being answered goes on for as long as the peer takes it.
    private var isStreaming = false
    private var closesAfterResponse = false
    /// Whether the request that was read last is the last that can be read.
    private var isLastRequest = false
    /// Why the decoder reads no more, if it does not.
    private var failure: (any Error)?
    /// Whether the last answer has been written: nothing else goes out, and what comes is thrown away.
    private(set) var hasEnded = false
    /// Whether a part has been read since the last read from the socket began.
    private var readPart = false
    /// Whether some of a head has come, and not all.
    private var headBegan = false
    /// Whether the connection has had an answer.
    private var hasAnswered = false
    /// Until when requests may come, once the listener stops; nil before.
    private var lastReceipt: NIODeadline?
    private var isClosing = false

    /// - Parameter refusals: where refused requests are counted; nil for a listener that only operators reach.
    init(_ limits: ConnectionBounds, refusals: LimitRefusals? = nil) {
        self.limits = limits
        self.refusals = refusals
    }

    func handlerAdded(context: ChannelHandlerContext) {
        deadline = context.eventLoop.now + limits.firstHead
        schedule(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        isRemoved = true
    }

    // MARK: In front of the decoder

    /// Requests were answered that never come here.
    func answeredInFront(at now: NIODeadline) {
        headBegan = false
        hasAnswered = true
        deadline = now + limits.idle
    }

    /// Some of a head has come, which is kept in front.
    func beganInFront() {
        headBegan = true
    }

    /// All that comes from here on comes through the decoder.
    func openedInFront() {
        headBegan = false
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        readPart = true
        let part = unwrapInboundIn(data)
        guard !hasEnded else { return discard(part, context) }
        switch part {
        case .head(let head):
            (isReading, headBegan) = (true, false)
            unanswered += 1
            bodyLength = 0
            // We tunnel nothing and upgrade to nothing, but the decoder thinks so: it parses nothing behind such a
            // request and keeps all that comes.
            isLastRequest = head.method == .connect || head.headerFields.contains(.upgrade)
            deadline = min(context.eventLoop.now + limits.body, lastReceipt ?? .distantFuture)
            if head.headerFields[.expect]?.lowercased() == "100-continue", unanswered == 1 {
                // RFC 9110 §10.1.1: without it older clients wait a second before they send the body.
                context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
            }
        case .body(let body):
            bodyLength += body.readableBytes
            guard bodyLength <= limits.bodyLength else {
                note(.body, context)
                return close(context)
            }
        case .end:
            isReading = false
            // Behind this handler it may be answered already.
            move(to: nextDeadline(context), context)
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Bytes of which the decoder made nothing yet.
        if !readPart, !isReading { headBegan = true }
        readPart = false
        // Nobody else asks for what is thrown away.
        if hasEnded { context.read() }
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        guard isReading || !isLastRequest else { return }
        context.read()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case ByteToMessageDecoderError.dataReceivedInErrorState(_, let data) = error {
            return discard(.body(data), context)
        }
        if error as? HTTPParserError == .headerOverflow { note(.headers, context) }
        if failure == nil {
            failure = error
            deadline = context.eventLoop.now + limits.response
        }
        // Whoever answers requests answers this one too, after those before it.
        context.fireErrorCaught(error)
    }

    // MARK: Responses

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !hasEnded else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(var head) where head.status.kind != .informational:
            isAnswering = true
            isStreaming = head.headerFields[.contentType] == "text/event-stream"
            if isLastResponse(context) { head.headerFields[.connection] = "close" }
            closesAfterResponse = head.headerFields[.connection]?.lowercased() == "close"
            if unanswered == 0, failure as? HTTPParserError == .headerOverflow {
                head.status = .requestHeaderFieldsTooLarge
            }
            // The answer to what no parser accepted is not made by our routes.
            if head.headerFields[.daypassTraceID] == nil {
                head.headerFields[.daypassTraceID] = TraceID().description
            }
            if lastReceipt != nil { move(to: min(deadline, context.eventLoop.now + limits.lastReceipt), context) }
            return context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body where isStreaming && lastReceipt == nil:
            // Whoever takes none of it gets none of it written, and the time runs out.
            deadline = context.eventLoop.now + limits.response
        case .end:
            isAnswering = false
            unanswered -= 1
            hasAnswered = true
            if closesAfterResponse || (isStreaming && lastReceipt != nil) { return end(context, data, promise) }
            if !isReading { move(to: nextDeadline(context), context) }
        default: break
        }
        context.write(data, promise: promise)
    }

    /// Whether no request can follow the one that is being answered, or none is answered any more.
    private func isLastResponse(_ context: ChannelHandlerContext) -> Bool {
        if failure != nil { return unanswered == (isReading ? 1 : 0) }
        guard let lastReceipt else { return isLastRequest && unanswered == 1 }
        return unanswered == 1 || context.eventLoop.now >= lastReceipt
    }

    /// Writes the end of the last response, and closes: at once where all of the request has come.
    private func end(_ context: ChannelHandlerContext, _ data: NIOAny, _ promise: EventLoopPromise<Void>?) {
        hasEnded = true
        let written = promise ?? context.eventLoop.makePromise()
        context.writeAndFlush(data, promise: written)
        timer?.cancel()
        deadline = context.eventLoop.now + (lastReceipt == nil ? limits.linger : limits.lastLinger)
        schedule(context)
        guard isReading || headBegan || failure != nil else {
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            return written.futureResult.whenComplete { _ in
                let (handler, context) = bound.value
                handler.closeAfterAnswer(context)
            }
        }
        closeOutput(context)
    }

    /// The peer, who may not know yet that it was the last, can have sent another request, and would lose the answer with it.
    private func closeAfterAnswer(_ context: ChannelHandlerContext) {
        guard lastReceipt != nil, !isRemoved else { return close(context) }
        closeOutput(context)
        move(to: min(deadline, context.eventLoop.now + limits.farewell), context)
    }

    private func closeOutput(_ context: ChannelHandlerContext) {
        bodyLength = 0
        context.close(mode: .output, promise: nil)
        context.read()
    }

    /// What comes behind the last answer.
    private func discard(_ part: HTTPRequestPart, _ context: ChannelHandlerContext) {
        switch part {
        case .head: break
        case .body(let body):
            bodyLength += body.readableBytes
            if bodyLength > limits.bodyLength { close(context) }
        case .end:
            isReading = false
            guard lastReceipt != nil, !isHoldingResponse(context) else { return }
            move(to: min(deadline, context.eventLoop.now + limits.farewell), context)
        }
    }

    // MARK: The listener's end

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent else { return context.fireUserInboundEventTriggered(event) }
        // Nobody behind is told: he would close at once what is idle, and say to nobody that an answer is the last.
        guard lastReceipt == nil else { return }
        let now = context.eventLoop.now
        let last = now + limits.lastReceipt
        lastReceipt = last
        guard !isClosing else { return cutSoon(context) }
        // What the peer does not take is being made no longer.
        guard unanswered == 0 || isReading || isAnswering || isHoldingResponse(context) else { return }
        let isIdle = !isReading && !headBegan && !isAnswering && !hasEnded && !isHoldingResponse(context)
        move(to: min(deadline, isIdle && hasAnswered ? now + limits.farewell : last), context)
    }

    private func close(_ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        isClosing = true
        timer?.cancel()
        context.close(promise: nil)
        if lastReceipt != nil { cutSoon(context) }
    }

    /// Where the listener stops, nobody is waited for who does not say goodbye in his turn (RFC 8446 §6.1).
    private func cutSoon(_ context: ChannelHandlerContext) {
        guard !isRemoved else { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: limits.farewell) {
            bound.value.triggerUserOutboundEvent(ConnectionCut.Now(), promise: nil)
        }
    }

    // MARK: Time

    /// That of what is to come, where nothing is being read.
    private func nextDeadline(_ context: ChannelHandlerContext) -> NIODeadline {
        let now = context.eventLoop.now
        if unanswered > 0 { return now + limits.response }
        guard let lastReceipt else { return now + limits.idle }
        return min(now + limits.farewell, lastReceipt)
    }

    private func move(to next: NIODeadline, _ context: ChannelHandlerContext) {
        deadline = next
        // Otherwise the timer is soon enough.
        guard lastReceipt != nil, !isClosing, !isRemoved else { return }
        timer?.cancel()
        schedule(context)
    }

    /// One timer for the connection, moved when it fires: far cheaper than one for each request. It fires as often as the
    /// shortest time asks for, since a deadline may come to lie before the one for which it was set.
    private func schedule(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let next = min(deadline, context.eventLoop.now + limits.shortestTime)
        timer = context.eventLoop.scheduleTask(deadline: next) {
            let (handler, context) = bound.value
            handler.timer = nil
            if context.eventLoop.now >= handler.deadline { handler.expire(context) }
            if !handler.isRemoved, !handler.isClosing, handler.timer == nil { handler.schedule(context) }
        }
    }

    private func expire(_ context: ChannelHandlerContext) {
        if hasEnded {
            close(context)
        } else if isReading {
            guard failure == nil else { return close(context) }
            note(.slowRequest, context)
            guard unanswered > 0 else { return close(context) }
            failure = RequestTimeout()
            deadline = context.eventLoop.now + limits.response
            // Who reads the body answers, in its own form; whoever does not has answered already.
            context.fireErrorCaught(RequestTimeout())
        } else if unanswered > 0 {
            note(.slowResponse, context)
            // Nor is one more for who takes none of those before.
            guard !isAnswering, lastReceipt == nil || !isHoldingResponse(context) else { return close(context) }
            answer(.serviceUnavailable, [.retryAfter: "1"], context)
        } else if headBegan, !isHoldingResponse(context) {
            note(.slowRequest, context)
            answer(.requestTimeout, [:], context)
        } else {
            if isHoldingResponse(context) { note(.slowResponse, context) }
            close(context)
        }
    }

    /// Writes an answer without a body, the last one.
    private func answer(_ status: HTTPResponse.Status, _ headers: HTTPFields, _ context: ChannelHandlerContext) {
        var head = HTTPResponse(status: status, headerFields: headers)
        head.headerFields[.connection] = "close"
        head.headerFields[.contentLength] = "0"
        head.headerFields[.daypassTraceID] = TraceID().description
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        end(context, NIOAny(HTTPResponsePart.end(nil)), nil)
    }

    /// Whether the peer has not taken all of the last response.
    private func isHoldingResponse(_ context: ChannelHandlerContext) -> Bool {
        guard context.channel.isWritable else { return true }
        let buffered = try? context.channel.syncOptions?.getOption(ChannelOptions.bufferedWritableBytes)
        return (buffered ?? 0) > 0
    }

    private func note(_ limit: RequestMetrics.Limit, _ context: ChannelHandlerContext) {
        // Who is cut short by our end ran into no limit.
        guard lastReceipt == nil else { return }
        refusals?.note(limit, context.remoteAddress.flatMap { ClientAddress($0) } ?? .unknown)
    }
}

/// That a request's body did not come in time.
struct RequestTimeout: Error {}

@available(*, unavailable)
extension ConnectionLimits: Sendable {}
