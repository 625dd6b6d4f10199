import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import HTTPTypes
import JOSE
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPTypes

/// A gate on its own, in front of whatever is to be the decoder.
final class EmbeddedGate {
    let channel: EmbeddedChannel
    let loop = EmbeddedEventLoop()
    let limits = ConnectionLimits(ConnectionBounds())
    let passed = Passed()
    /// That by which the loop's own delay is measured.
    let clock = ManualClock()

    /// What comes behind the gate.
    final class Passed: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var bytes: [UInt8] = []
        var completed = 0
        var events: [any Sendable] = []

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += Array(buffer: unwrapInboundIn(data))
        }

        func channelReadComplete(context: ChannelHandlerContext) { completed += 1 }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is ChannelShouldQuiesceEvent { events.append("quiesce") }
            if event as? ChannelEvent == .inputClosed { events.append("input closed") }
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// Of keys of its own: no token is good here.
    private static let verifier = Result {
        let (masterKey, _) = try MasterKey.generate()
        let record = try SigningKey.generate(.ES256, state: .active, sealedWith: masterKey, at: Date())
        let state = StateHolder(BrokerState(keyRing: try KeyRing(opening: [record], with: masterKey)))
        let tokens = TokenConfiguration(
            issuer: "https://broker.example.com", audiences: ["https://gateway.example.com"])
        return TokenVerifier(tokens: tokens, policy: VerifyConfiguration(), state: state)
    }

    /// The endpoint of such keys.
    static func endpoint(
        trusting proxies: [String] = [], recent: RecentRefusals = RecentRefusals()
    ) throws -> VerifyEndpoint {
        VerifyEndpoint(
            verifier: try verifier.get(), proxies: TrustedProxies(try proxies.map { try AddressBlock(parsing: $0) }),
            clock: SystemClock(), metrics: VerifyMetrics(), recent: recent)
    }

    init(_ endpoint: VerifyEndpoint? = nil, client: ClientAddress = .unknown) throws {
        let gate = VerifyGate(
            try endpoint ?? Self.endpoint(), metrics: RequestMetrics(maximumConnections: 1), identity: nil,
            client: client, state: EventLoopState(LoopLoad(loop, clock: clock)))
        channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandlers(gate, passed, BehindDecoder(), limits)
        gate.limits = limits
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// Parts of responses are nobody's here.
    private final class BehindDecoder: ChannelOutboundHandler {
        typealias OutboundIn = HTTPResponsePart
        typealias OutboundOut = ByteBuffer

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            guard case .head(let head) = unwrapOutboundIn(data) else {
                promise?.succeed()
                return
            }
            context.write(NIOAny(ByteBuffer(string: "limits \(head.status.code)\n")), promise: promise)
        }
    }

    func receive(_ bytes: some Sequence<UInt8>) throws {
        try channel.writeInbound(ByteBuffer(bytes: bytes))
    }

    /// All that was written since the last time.
    func written() throws -> String {
        var text = ""
        while let part = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: part) }
        return text
    }

    /// The status lines of what was written since.
    func statuses() throws -> [String] {
        try written().split(separator: "\r\n").filter { $0.hasPrefix("HTTP/1.1 ") }.map {
            String($0.prefix(12).suffix(3))
        }
    }
}
