import CertificateNames
import NIOCore
import NIOSSL
import NIOTLS

/// Behind TLS: says when the peer has shown a certificate for the host, before which nothing is asked of it.
final class NameCheck: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let host: String
    /// Completed in any case.
    private let isShown: EventLoopPromise<Void>

    init(_ host: String, _ isShown: EventLoopPromise<Void>) {
        (self.host, self.isShown) = (host, isShown)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent {
            do {
                try CertifiedHost.check(context.channel, for: host)
                isShown.succeed()
            } catch {
                isShown.fail(error)
                context.fireErrorCaught(error)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isShown.fail(error)
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        isShown.fail(AnswerReader.Failure.closed)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        isShown.fail(AnswerReader.Failure.closed)
    }
}
