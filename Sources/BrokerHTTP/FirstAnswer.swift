import NIOCore

/// Lets each connection have its first answer also where the listener stops. Whoever was accepted a moment before has a
/// request on the way, and would be closed as one on which nothing is under way: to his client that is a broker that is
/// not there.
///
/// Behind TLS, and in front of everything that answers.
final class FirstAnswer: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// For which a request is waited for that has not come: several round trips around the world.
    static let grace: TimeAmount = .seconds(2)

    private var isAnswered = false
    /// Set while the listener stops and the first answer is waited for.
    private var timer: Scheduled<Void>?

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(data, promise: promise)
        guard !isAnswered else { return }
        isAnswered = true
        guard timer != nil else { return }
        forget()
        // Not within the write: who answers would see the end before the answer is out of his hands.
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.execute { bound.value.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent, !isAnswered else {
            return context.fireUserInboundEventTriggered(event)
        }
        guard timer == nil else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: Self.grace) {
            let (handler, context) = bound.value
            handler.timer = nil
            handler.isAnswered = true
            context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        forget()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        forget()
    }

    private func forget() {
        timer?.cancel()
        timer = nil
    }
}

@available(*, unavailable)
extension FirstAnswer: Sendable {}
