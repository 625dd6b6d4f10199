import BrokerTesting
import Foundation
import Synchronization
@testable import SPIFFE
import Testing

@Suite struct `Validated chains that are remembered` {
    private final class Setup: Sendable {
        let root: TestCA
        let bundles: Mutex<TrustBundleSet>
        let validations = Mutex(0)
        let now = ManualClock().now

        init() throws {
            root = try TestCA()
            bundles = Mutex(try SPIFFETests.bundles(root))
        }

        func validator(capacity: Int = 100) -> X509SVIDValidator {
            X509SVIDValidator(capacity: capacity, bundles: { self.bundles.withLock { $0 } }) { chain, bundles, now in
                self.validations.withLock { $0 += 1 }
                do throws(X509SVIDFailure) {
                    return .success(try X509SVID.validate(chain, against: bundles, at: now))
                } catch {
                    return .failure(error)
                }
            }
        }

        var count: Int { validations.withLock { $0 } }
    }

    @Test func `the same chain is validated once`() throws {
        let setup = try Setup(), validator = setup.validator()
        let leaf = try setup.root.workload()
        let first = try validator.validate([leaf], at: setup.now)
        #expect(try validator.validate([leaf], at: setup.now) == first)
        #expect(setup.count == 1)
    }

    @Test func `a chain that differs in anything is another one`() throws {
        let setup = try Setup(), validator = setup.validator()
        let intermediate = try setup.root.intermediate()
        let leaf = try intermediate.workload()
        _ = try validator.validate([leaf, intermediate.certificate], at: setup.now)
        _ = try validator.validate([leaf, intermediate.certificate, setup.root.certificate], at: setup.now)
        #expect(setup.count == 2)
        #expect(throws: X509SVIDFailure.self) { try validator.validate([leaf], at: setup.now) }
        #expect(throws: X509SVIDFailure.self) {
            try validator.validate([leaf + intermediate.certificate], at: setup.now)
        }
        var spoilt = leaf
        spoilt[spoilt.count - 1] ^= 1
        #expect(throws: X509SVIDFailure.self) {
            try validator.validate([spoilt, intermediate.certificate], at: setup.now)
        }
    }

    @Test func `a refusal is not remembered`() throws {
        let setup = try Setup(), validator = setup.validator()
        let stranger = try TestCA("stranger").workload()
        for _ in 0..<2 { #expect(throws: X509SVIDFailure.self) { try validator.validate([stranger], at: setup.now) } }
        #expect(setup.count == 2)
    }

    @Test func `what is remembered ends with the path, and does not begin before it was looked at`() throws {
        let setup = try Setup(), validator = setup.validator()
        let leaf = try setup.root.workload()
        let svid = try validator.validate([leaf], at: setup.now)
        #expect(throws: X509SVIDFailure.self) { try validator.validate([leaf], at: svid.expiry) }
        // A clock that was set back, to before the leaf's time.
        #expect(throws: X509SVIDFailure.self) {
            try validator.validate([leaf], at: setup.now.addingTimeInterval(-7200))
        }
        #expect(setup.count == 3)
    }

    @Test func `a bundle that changed is asked again, one that is gone refuses`() throws {
        let setup = try Setup(), validator = setup.validator()
        let leaf = try setup.root.workload(), other = try TestCA("other")
        _ = try validator.validate([leaf], at: setup.now)
        // One more authority: the chain is validated again, once.
        let both = try bundles(setup.root, other)
        setup.bundles.withLock { $0 = both }
        for _ in 0..<2 { _ = try validator.validate([leaf], at: setup.now) }
        #expect(setup.count == 2)
        let without = try bundles(other)
        setup.bundles.withLock { $0 = without }
        #expect(throws: X509SVIDFailure.self) { try validator.validate([leaf], at: setup.now) }
        setup.bundles.withLock { $0 = TrustBundleSet() }
        #expect(throws: X509SVIDFailure.self) { try validator.validate([leaf], at: setup.now) }
    }

    @Test func `no more are remembered than there is room for, and what is used stays`() throws {
        let setup = try Setup(), validator = setup.validator(capacity: 4)
        let used = try setup.root.workload("spiffe://example.org/used")
        for number in 0..<20 {
            _ = try validator.validate([used], at: setup.now)
            _ = try validator.validate([setup.root.workload("spiffe://example.org/\(number)")], at: setup.now)
        }
        #expect(setup.count == 21)
        #expect(validator.rememberedCount <= 4)
    }

    @Test func `with no room nothing is remembered`() throws {
        let setup = try Setup(), validator = setup.validator(capacity: 0)
        let leaf = try setup.root.workload()
        for _ in 0..<3 { _ = try validator.validate([leaf], at: setup.now) }
        #expect(setup.count == 3)
    }
}
