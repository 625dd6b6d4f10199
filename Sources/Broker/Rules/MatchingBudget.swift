import JOSE
import Synchronization

/// How much work matching may still take where an administrator asks: nobody has looked at such rules and such claims.
/// Exchanges have none: what they cost is bounded by the length of a token and by rules that are in force.
package struct MatchingBudget: Sendable {
    /// In steps, each of which compares a byte of a text with a place of a pattern: about a second.
    package static let standard = 200_000_000

    private var left: Int
    private let cancellation: MatchingCancellation?

    /// - Parameter cancellation: that of who asked; nil where nobody is waiting.
    package init(_ steps: Int = standard, cancellation: MatchingCancellation? = nil) {
        left = steps
        self.cancellation = cancellation
    }

    mutating func spend(_ steps: Int) throws(MatchingFailure) {
        guard cancellation?.isCancelled != true else { throw .cancelled }
        guard steps <= left else { throw .exhausted }
        left -= steps
    }

    /// For the tests of a rule.
    mutating func spend(on rule: Rule, _ claims: KnownClaims) throws(MatchingFailure) {
        for matcher in rule.matchers {
            let work = matcher.work(in: claims)
            try spend(work)
        }
    }
}

/// Whether who asked has gone meanwhile.
package final class MatchingCancellation: Sendable {
    private let state = Atomic(false)

    package init() {}

    package var isCancelled: Bool { state.load(ordering: .relaxed) }

    package func cancel() { state.store(true, ordering: .relaxed) }
}

/// Why no answer was found.
package enum MatchingFailure: Error, Sendable, CustomStringConvertible {
    case exhausted, cancelled

    package var description: String {
        switch self {
        case .exhausted: "matching these claims with these rules takes too long: have shorter patterns, or fewer"
        case .cancelled: "whoever asked does not wait any more"
        }
    }
}

extension ClaimMatcher {
    /// In steps of a `MatchingBudget`, how much testing it takes at most.
    func work(in known: KnownClaims) -> Int {
        guard case .value(let value) = known.value(at: claim) else { return 1 }
        let elements = value.array ?? [value]
        let length = elements.reduce(0) { $0 + 1 + min($1.string?.utf8.count ?? 0, Glob.maximumTextLength) }
        return anyOf.reduce(1) { work, pattern in
            guard case .text(let glob) = pattern, glob.hasWildcard else { return work + elements.count }
            return work + length * (glob.tokens.count + 1)
        }
    }
}
