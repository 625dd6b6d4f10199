import Hummingbird
import HummingbirdCore
import NIOCore
import NIOHTTPTypes

/// Hands on each part of a body in memory of its own, and wipes what the connection had of it: the TLS library copies its
/// whole buffer when it reads on while anybody still holds a part, and that copy nobody could wipe. Once the request is
/// answered, what was handed on is wiped as well: also where it was refused and no route ever read it.
///
/// Right behind the HTTP decoder, so that it happens before anything else is read.
final class OwnedBodies: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// So long after the end of a connection a route may still be reading what came over it.
    static let grace: TimeAmount = .seconds(60)

    /// What was handed on of each request that is not answered yet, the first one first.
    private var requests: [[ByteBuffer]] = []

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            requests.append([])
            context.fireChannelRead(data)
        case .body(let part):
            var own = context.channel.allocator.buffer(capacity: part.readableBytes)
            own.writeImmutableBuffer(part)
            part.wipe()
            if requests.isEmpty {
                // The rest of a body whose request was refused: nobody reads it.
                own.wipe()
            } else {
                requests[requests.count - 1].append(own)
            }
            context.fireChannelRead(wrapInboundOut(.body(own)))
        case .end: context.fireChannelRead(data)
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data), !requests.isEmpty { Self.wipe(requests.removeFirst()) }
        context.write(data, promise: promise)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let rest = requests.flatMap(\.self)
        requests = []
        if !rest.isEmpty { context.eventLoop.scheduleTask(in: Self.grace) { Self.wipe(rest) } }
        context.fireChannelInactive()
    }

    private static func wipe(_ parts: [ByteBuffer]) {
        for part in parts { part.wipe() }
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
