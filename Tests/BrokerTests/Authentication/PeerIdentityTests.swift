@testable import Broker
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `The identity of an open connection` {
    private let clock = ManualClock()
    private let root: TestCA
    private let leaf: [UInt8]

    init() throws {
        root = try TestCA()
        leaf = try root.workload()
    }

    private func bundles(_ authorities: TestCA...) throws -> TrustBundleSet {
        let text = authorities.map { authority in
            let lines = Data(authority.certificate).base64EncodedString(options: [.lineLength64Characters])
            return "-----BEGIN CERTIFICATE-----\n\(lines)\n-----END CERTIFICATE-----\n"
        }
        let domain = try TrustDomain(parsing: "example.org")
        return try TrustBundleSet([TrustBundle(pem: Array(text.joined().utf8), of: domain)])
    }

    private func identity() throws -> PeerIdentity {
        PeerIdentity(try X509SVID.validate([leaf], against: bundles(root), at: clock.now), chain: [leaf])
    }

    @Test func `follows its bundle: refused without its authority, and good again with it`() throws {
        let (peer, other) = (try identity(), try TestCA("other"))
        #expect(try peer.current(in: bundles(root), at: clock.now).id.text == "spiffe://example.org/workload")
        #expect(throws: X509SVIDFailure.self) { try peer.current(in: bundles(other), at: clock.now) }
        #expect(throws: X509SVIDFailure.self) { try peer.current(in: TrustBundleSet(), at: clock.now) }
        #expect(try peer.current(in: bundles(root, other), at: clock.now).fingerprint == peer.fingerprint)
    }

    @Test func `ends with its certificate`() throws {
        let peer = try identity()
        let expiry = try peer.current(in: bundles(root), at: clock.now).expiry
        #expect(throws: X509SVIDFailure.self) { try peer.current(in: bundles(root), at: expiry) }
    }

    @Test func `what a wrong clock refused is good when the clock is right again, at the latest a second later`() throws
    {
        let peer = try identity()
        let next = try bundles(root, TestCA("other"))
        let wrong = clock.now.addingTimeInterval(-10 * 365 * 86_400)
        #expect(throws: X509SVIDFailure.self) { try peer.current(in: next, at: wrong) }
        #expect(throws: X509SVIDFailure.self) { try peer.current(in: next, at: wrong.addingTimeInterval(0.5)) }
        #expect(try peer.current(in: next, at: clock.now).fingerprint == peer.fingerprint)
    }
}
