import NIOCore

/// Ends a connection at once, without the farewell that TLS would wait for, once it is told so by an event.
///
/// In front of TLS: what is closed here is the socket.
final class ConnectionCut: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// An outbound event, from wherever in the pipeline. Without TLS nobody hears it, nor has to.
    struct Now: Sendable {}

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is Now else { return context.triggerUserOutboundEvent(event, promise: promise) }
        context.close(promise: promise)
    }
}

@available(*, unavailable)
extension ConnectionCut: Sendable {}
