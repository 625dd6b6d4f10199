import Broker
import HTTPTypes

/// Who is behind a proxy: `X-Forwarded-For`, as far as proxies that are trusted have written it.
///
/// Each proxy appends the address of its own peer. What stands left of an element that no trusted proxy wrote is the
/// client's to make up, so the list is read from the right and only up to the first address that is not trusted.
struct TrustedProxies: Sendable {
    /// No more proxies than that stand behind each other; the list is not read further.
    static let maximumElements = 32

    private let blocks: [AddressBlock]

    init(_ blocks: [AddressBlock]) {
        self.blocks = blocks
    }

    func trusts(_ client: ClientAddress) -> Bool {
        blocks.contains { $0.contains(client.address) }
    }

    /// The rightmost address that is not trusted; where all are, the leftmost. At an element that is no address the
    /// trusted proxy that wrote it is the client: a limit then counts more than it should under one address, never less.
    func client(of peer: ClientAddress, _ headers: @autoclosure () -> HTTPFields) -> ClientAddress {
        guard trusts(peer) else { return peer }
        var client = peer
        var elements = 0
        // RFC 9110 §5.3: several fields are one list.
        for field in headers()[values: .forwardedFor].reversed() {
            var rest = field[...].utf8
            while true {
                let comma = rest.lastIndex(of: UInt8(ascii: ","))
                let element = comma.map { rest[rest.index(after: $0)...] } ?? rest
                elements += 1
                guard elements <= Self.maximumElements, let address = ClientAddress(forwarded: element) else {
                    return client
                }
                client = address
                guard trusts(address) else { return address }
                guard let comma else { break }
                rest = rest[..<comma]
            }
        }
        return client
    }
}
