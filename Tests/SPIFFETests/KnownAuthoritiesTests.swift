import BrokerTesting
import Foundation
import OpenSSL
@testable import SPIFFE
import Testing

@Suite struct `Authorities that were read before` {
    @Test func `are remembered from chains that prove an identity, and from no others`() throws {
        let (root, known) = (try TestCA(), KnownAuthorities())
        let intermediate = try root.intermediate()
        let leaf = try intermediate.workload()
        let chain = [leaf, intermediate.certificate]
        let trusting = try bundles(root)
        let validate = { (bundles: TrustBundleSet) throws(X509SVIDFailure) in
            try X509SVID.validate(chain, against: bundles, for: .tlsClient, at: ManualClock().now, knowing: known)
        }
        #expect(throws: X509SVIDFailure.self) { try validate(TrustBundleSet()) }
        #expect(known.count == 0)
        let svid = try validate(trusting)
        #expect(known.count == 1)
        // The same object: it was not read again.
        #expect(
            try known.certificate(intermediate.certificate).publicKey
                === known.certificate(intermediate.certificate).publicKey)
        #expect(try validate(trusting) == svid)
        // That an authority is known makes no path: another bundle decides anew.
        let without = try bundles(TestCA())
        #expect(throws: X509SVIDFailure.self) { try validate(without) }
    }

    @Test func `are not remembered where they merely came along with a good path`() throws {
        let (root, known) = (try TestCA(), KnownAuthorities())
        let intermediate = try root.intermediate()
        // Whoever has a certificate, or has seen one, can put such authorities behind it.
        let madeUp = try (0..<5).map { try TestCA("made up \($0)").certificate }
        _ = try X509SVID.validate(
            [try intermediate.workload(), intermediate.certificate] + madeUp, against: bundles(root), for: .tlsClient,
            at: ManualClock().now, knowing: known)
        #expect(known.count == 1)
    }

    @Test func `are no more than there is room for`() {
        var cache = RecentlyUsed<Int>(capacity: 4)
        for number in 0..<100 {
            cache.insert(0, [0])
            cache.insert(number, [1, UInt8(number)])
            #expect(cache.count <= 4)
            #expect(cache.value([0]) == 0)
        }
        var none = RecentlyUsed<Int>(capacity: 0)
        none.insert(1, [1])
        #expect(none.value([1]) == nil)
    }
}
