import JOSE
import Synchronization

/// What many gateway tokens say alike: what they allow, by which rule, for whom, and the key that signed it. Shared by all
/// of them, with the part of the answer to a gateway that it decides.
package final class VerifiedGrant: Sendable {
    struct Content: Sendable, Hashable {
        let audience: ExactString
        let rule: ExactString
        let keyID: ExactString
        let scope: [Scope]
        let models: [Glob]?
    }

    let content: Content
    /// The header lines `Daypass-Rule` and `Daypass-Scope`, each with its end of line.
    package let answerFields: [UInt8]
    /// Whether it is in a table, so that its bytes are counted there.
    let isShared: Bool
    /// Bytes of memory, about.
    let cost: Int

    fileprivate init(_ content: Content, isShared: Bool = false) {
        self.content = content
        self.isShared = isShared
        let rule = HeaderValue.encode(content.rule)
        answerFields = Array("Daypass-Rule: \(rule)\r\nDaypass-Scope: \(Scope.text(content.scope))\r\n".utf8)
        cost = Self.cost(of: content)
    }

    /// Of texts and of what holds them. A pattern is kept as text and as a list of two bytes for each of its characters.
    private static func cost(of content: Content) -> Int {
        let texts = [content.audience, content.rule, content.keyID].reduce(0) { $0 + $1.utf8.count }
        let scopes = content.scope.reduce(0) { $0 + 2 * $1.text.utf8.count + 64 }
        let models = (content.models ?? []).reduce(0) { $0 + 5 * $1.pattern.utf8.count + 192 }
        return 512 + 4 * texts + scopes + models
    }
}

/// The grants that cached tokens have, each kept once. Callable from any thread.
///
/// Bounded: 4096 grants and 8 MiB, and 256 grants of one rule. A grant for which there is no room belongs to its token alone,
/// and its bytes are counted there. Who has many scopes can have tokens with any part of them: so one holder could fill the
/// table, and takes no more than his rule's part of it.
final class VerifiedGrants: Sendable {
    static let maximumCount = 4096
    static let maximumBytes = 8 << 20
    static let maximumPerRule = 256

    private struct State {
        var grants: [VerifiedGrant.Content: VerifiedGrant] = [:]
        var countByRule: [ExactString: Int] = [:]
        var bytes = 0
    }

    private let state = Mutex(State())

    /// The one that is kept, or a new one.
    func grant(_ content: VerifiedGrant.Content) -> VerifiedGrant {
        state.withLock { state in
            if let known = state.grants[content] { return known }
            let new = VerifiedGrant(content, isShared: true)
            guard state.grants.count < Self.maximumCount, state.bytes + new.cost <= Self.maximumBytes,
                state.countByRule[content.rule, default: 0] < Self.maximumPerRule
            else { return VerifiedGrant(content) }
            state.grants[content] = new
            state.countByRule[content.rule, default: 0] += 1
            state.bytes += new.cost
            return new
        }
    }

    /// Forgets those that no token has any more.
    func forgetUnused() {
        state.withLock { state in
            var unused: [VerifiedGrant.Content] = []
            var index = state.grants.startIndex
            while index != state.grants.endIndex {
                let isUnused = isKnownUniquelyReferenced(&state.grants.values[index])
                if isUnused { unused.append(state.grants[index].key) }
                state.grants.formIndex(after: &index)
            }
            for content in unused {
                guard let grant = state.grants.removeValue(forKey: content) else { continue }
                state.bytes -= grant.cost
                let others = state.countByRule[content.rule, default: 1] - 1
                state.countByRule[content.rule] = others > 0 ? others : nil
            }
        }
    }

    /// How many there are, and of how many bytes.
    var size: (count: Int, bytes: Int) { state.withLock { ($0.grants.count, $0.bytes) } }

    /// One that no table has.
    static func unshared(_ content: VerifiedGrant.Content) -> VerifiedGrant { VerifiedGrant(content) }
}
