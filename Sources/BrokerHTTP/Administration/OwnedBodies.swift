import Hummingbird
import HummingbirdCore
import NIOCore
import NIOHTTPTypes

/// Hands on each part of a body in memory of its own, and wipes what the connection had of it: the TLS library copies its
/// whole buffer when it reads on while anybody still holds a part, and that copy nobody could wipe.
///
/// Right behind the HTTP decoder, so that it happens before anything else is read.
final class OwnedBodies: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .body(let part) = unwrapInboundIn(data) else { return context.fireChannelRead(data) }
        var own = context.channel.allocator.buffer(capacity: part.readableBytes)
        own.writeImmutableBuffer(part)
        part.wipe()
        context.fireChannelRead(wrapInboundOut(.body(own)))
    }
}

extension HTTP1Channel.Configuration {
    /// The same, with bodies that are nobody else's.
    var owningBodies: HTTP1Channel.Configuration {
        var channel = self
        let others = additionalChannelHandlers
        channel.additionalChannelHandlers = { [OwnedBodies()] + others() }
        return channel
    }
}
