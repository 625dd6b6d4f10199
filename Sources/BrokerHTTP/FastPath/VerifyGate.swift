import Broker
import FoundationEssentials
import HTTPTypes
import NIOCore

/// Answers `/verify` before any HTTP decoder: requests of one strict form (`StrictHead`), each wholly there.
///
/// It frames no request that it does not answer. From the first byte on that is not of that form, all of the connection is
/// the decoder's, for good: nobody has to prove where the decoder stands, and no request is ever seen by both. What has come
/// of a head in part is kept, and goes to the decoder in one piece where it turns out to be something else. Answers are
/// bounded by what the peer takes: while it takes nothing, nothing more is read or answered. The times of the connection
/// are `ConnectionLimits`', which is told what happens here. Once the listener stops, all that comes is the decoder's: an
/// answer that is to be the last says so, and no answer here does.
final class VerifyGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = ByteBuffer

    /// In so many pieces a head may come; then the decoder has the connection.
    static let maximumPieces = 8
    /// So many bytes of answers are written at once.
    static let batchLength = 32 * 1024

    private let endpoint: VerifyEndpoint
    private let metrics: RequestMetrics
    /// Nil over plain HTTP.
    private let identity: ConnectionIdentity?
    private let client: ClientAddress
    private let state: EventLoopState
    /// Those of this connection.
    var limits: ConnectionLimits?
    /// Whether the connection is the decoder's.
    private var isOpen = false
    /// What has come of a head, or what waits until the peer takes answers.
    private var held: ByteBuffer?
    private var pieces = 0
    private var isBlocked = false
    private var needsFlush = false
    private var wantsRead = false
    /// Events that came behind what waits.
    private var events: [Any] = []
    /// Whether the listener stops.
    private var isStopping = false

    init(
        _ endpoint: VerifyEndpoint, metrics: RequestMetrics, identity: ConnectionIdentity?, client: ClientAddress,
        state: EventLoopState
    ) {
        self.endpoint = endpoint
        self.metrics = metrics
        self.identity = identity
        self.client = client
        self.state = state
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOpen else { return context.fireChannelRead(data) }
        var input = unwrapInboundIn(data)
        if var begun = held {
            held = nil
            begun.writeBuffer(&input)
            input = begun
        }
        if isBlocked {
            held = input
        } else if isStopping || identity?.peer != nil || limits?.hasEnded == true {
            // Who has a certificate may be bound to it, and whoever was answered for the last time is not answered again.
            open(input, context)
        } else {
            answer(input, context)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush(context)
        // What the decoder has not seen it must not be told the end of.
        if isOpen { context.fireChannelReadComplete() }
    }

    /// Answers all requests that are there.
    private func answer(_ input: ByteBuffer, _ context: ChannelHandlerContext) {
        var input = input
        while true {
            state.output.clear()
            let (length, rest) = input.withUnsafeReadableBytes { answer($0) }
            input.moveReaderIndex(forwardBy: length)
            if state.output.readableBytes > 0 {
                needsFlush = true
                pieces = 0
                limits?.answeredInFront(at: context.eventLoop.now)
                context.write(NIOAny(state.output), promise: nil)
            }
            switch rest {
            case .nothing: return
            case .beginning: return hold(input, context)
            case .other: return open(input, context)
            case .more:
                flush(context)
                guard !context.channel.isWritable else { continue }
                isBlocked = true
                held = input
                return
            }
        }
    }

    private enum Rest {
        case nothing
        /// A part of a head that conforms.
        case beginning
        case other
        /// As much was answered as is written at once.
        case more
    }

    /// - Returns: how many bytes were answered, and what is left.
    private func answer(_ bytes: UnsafeRawBufferPointer) -> (Int, Rest) {
        var position = 0
        var head = StrictHead()
        while position < bytes.count {
            guard state.output.readableBytes < Self.batchLength else { return (position, .more) }
            switch StrictHead.read(bytes, from: position, into: &head) {
            case .whole:
                answer(head, UnsafeRawBufferPointer(rebasing: bytes[position..<(position + head.length)]))
                position += head.length
            case .partial: return (position, .beginning)
            case .other: return (position, .other)
            }
        }
        return (position, .nothing)
    }

    private func answer(_ head: StrictHead, _ bytes: UnsafeRawBufferPointer) {
        func part(_ range: Range<Int>?) -> UnsafeRawBufferPointer? {
            range.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        }
        let now = endpoint.clock.now
        let trace = state.trace(at: now)
        let asker = VerifyEndpoint.Asker(client: client, now: now)
        let answer: VerifyAnswer
        if head.authorization == nil, head.apiKey == nil {
            answer = endpoint.refuse(.missing, by: asker, headers: { head.forwarded(in: bytes) }) { TraceID(trace) }
        } else if !head.isAmbiguous,
            let token = VerifyQuestion.token(authorization: part(head.authorization), apiKey: part(head.apiKey))
        {
            let requirement = state.requirements.requirement(
                .init(scope: part(head.scope), model: part(head.model), query: part(head.query)))
            answer = token.withMemoryRebound(to: UInt8.self) { token in
                endpoint.answer(token.span, requiring: requirement, by: asker) {
                    head.forwarded(in: bytes)
                } hasTime: {
                    state.load.hasTime()
                } trace: {
                    TraceID(trace)
                }
            }
        } else {
            answer = endpoint.refuse(.malformed, by: asker, headers: { head.forwarded(in: bytes) }) { TraceID(trace) }
        }
        metrics.responded(.verify, status: answer.status.code)
        state.output.write(answer, trace: trace, date: state.dateBytes(at: now))
    }

    // MARK: The decoder's connection

    /// Keeps the beginning of a head.
    private func hold(_ input: ByteBuffer, _ context: ChannelHandlerContext) {
        pieces += 1
        guard pieces <= Self.maximumPieces else { return open(input, context) }
        // Not in the buffer that it was read into, which may be far larger.
        var kept = context.channel.allocator.buffer(capacity: input.readableBytes)
        kept.writeImmutableBuffer(input)
        held = kept
        limits?.beganInFront()
    }

    /// Leaves the connection to the decoder, with `input` as the first bytes that it sees.
    private func open(_ input: ByteBuffer, _ context: ChannelHandlerContext) {
        isOpen = true
        held = nil
        limits?.openedInFront()
        context.fireChannelRead(wrapInboundOut(input))
    }

    /// The same outside of a read.
    private func openNow(_ input: ByteBuffer, _ context: ChannelHandlerContext) {
        open(input, context)
        context.fireChannelReadComplete()
    }

    // MARK: What the peer takes

    private func flush(_ context: ChannelHandlerContext) {
        guard needsFlush else { return }
        needsFlush = false
        context.flush()
    }

    func read(context: ChannelHandlerContext) {
        guard isOpen || (!isBlocked && context.channel.isWritable) else {
            wantsRead = true
            return
        }
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        context.fireChannelWritabilityChanged()
        guard context.channel.isWritable else { return }
        if isBlocked, let input = held {
            isBlocked = false
            held = nil
            if isStopping { open(input, context) } else { answer(input, context) }
            flush(context)
            if isOpen { context.fireChannelReadComplete() }
        }
        guard !isBlocked else { return }
        let events = self.events
        self.events = []
        for event in events { pass(event, context) }
        if wantsRead {
            wantsRead = false
            context.read()
        }
    }

    // MARK: The end

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard !isOpen else { return context.fireUserInboundEventTriggered(event) }
        if event is ChannelShouldQuiesceEvent {
            isStopping = true
            return context.fireUserInboundEventTriggered(event)
        }
        if isBlocked { events.append(event) } else { pass(event, context) }
    }

    private func pass(_ event: Any, _ context: ChannelHandlerContext) {
        let ends = event as? ChannelEvent == .inputClosed
        if !isOpen, ends, let input = held {
            // Nothing follows: it is for the decoder to say what this is.
            openNow(input, context)
        }
        guard !isOpen, ends else { return context.fireUserInboundEventTriggered(event) }
        // Whoever is told so closes a connection on which nothing is under way: not before the answers have gone.
        let written = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound((context, event), eventLoop: context.eventLoop)
        written.futureResult.whenSuccess {
            let (context, event) = bound.value
            context.fireUserInboundEventTriggered(event)
        }
        context.writeAndFlush(NIOAny(ByteBuffer()), promise: written)
    }

    func channelInactive(context: ChannelHandlerContext) {
        held = nil
        events = []
        context.fireChannelInactive()
    }
}

@available(*, unavailable)
extension VerifyGate: Sendable {}
