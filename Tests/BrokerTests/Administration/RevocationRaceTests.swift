import Broker
import BrokerTesting
import Foundation
import JOSE
import Synchronization
import Testing

/// Many use, renew and get tokens while their subjects are revoked.
@Suite struct `While subjects are revoked` {
    /// What one of them is doing at the moment, so that a failure says what it was.
    private enum Use: CaseIterable { case verify, renew, exchange, join }

    private final class Observations: Sendable {
        /// How often each subject's loops have done something: it is revoked when they are at work.
        let uses: Mutex<[Int]>
        let revoked = Mutex(Set<Int>())
        let violations = Mutex<[String]>([])
        let isOver = Mutex(false)

        init(subjects: Int) {
            uses = Mutex([Int](repeating: 0, count: subjects))
        }
    }

    @Test func `nothing that begins after the acknowledgement is granted, whatever 64 loops do`() async throws {
        let bench = try ExchangeBench(
            replay: .window(maximumUses: 1_000_000),
            rules: [ExchangeBench.main(match: [("ref", ["refs/heads/main"])])])
        let subjects = (0..<16).map { "subject-\($0)" }
        let seen = Observations(subjects: subjects.count)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for loop in 0..<64 {
                let (index, use) = (loop % subjects.count, Use.allCases[loop / subjects.count % Use.allCases.count])
                let subject = subjects[index]
                let proof = try bench.token(["sub": .string(ExactString(subject)), "jti": "shared"])
                let first = try await bench.exchange.exchange(bench.request(proof))
                group.addTask {
                    while !seen.isOver.withLock({ $0 }) {
                        // Read before the request begins.
                        let isRevoked = seen.revoked.withLock { $0.contains(index) }
                        let isGranted: Bool
                        switch use {
                        case .verify:
                            let verdict = bench.verifier.verdict(
                                for: first.accessToken, requiring: Requirement(scopes: try Fixture.scopes(["a:read"])),
                                presentedBy: nil, at: bench.clock.now)
                            isGranted = if case .allow = verdict { true } else { false }
                        case .renew: isGranted = (try? await bench.renewed(first)) != nil
                        case .exchange:
                            // Whoever authenticates after the acknowledgement gets a session that is good.
                            let jti = JSONValue.string(ExactString(UUID().uuidString))
                            let claims: JSONObject = ["sub": .string(ExactString(subject)), "jti": jti]
                            let new = try? await bench.opened(claims)
                            let isGood = (try? new.map { try bench.claims($0) }) != nil
                            if isRevoked, new == nil || !isGood {
                                seen.violations.withLock { $0.append("\(subject): shut out") }
                            }
                            isGranted = false
                        case .join: isGranted = (try? await bench.exchange.exchange(bench.request(proof))) != nil
                        }
                        if isGranted, isRevoked { seen.violations.withLock { $0.append("\(subject): \(use)") } }
                        seen.uses.withLock { $0[index] += 1 }
                        await Task.yield()
                    }
                }
            }
            for index in subjects.indices {
                let before = seen.uses.withLock { $0[index] }
                while seen.uses.withLock({ $0[index] }) < before + 8 { await Task.yield() }
                let outcome = try await bench.revocations.revoke(
                    RevocationRequest(.subject(ExactString("corp:\(subjects[index])"))), by: .daemon)
                #expect(outcome.isDurable)
                _ = seen.revoked.withLock { $0.insert(index) }
                while seen.uses.withLock({ $0[index] }) < before + 24 { await Task.yield() }
            }
            seen.isOver.withLock { $0 = true }
            try await group.waitForAll()
        }
        #expect(seen.violations.withLock { $0 } == [])
        #expect(bench.revocations.highest == 16)
    }
}
