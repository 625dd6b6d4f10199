package import JOSE

/// What is known of a subject's claims: all of them, or those that an audit record kept.
package struct KnownClaims: Sendable {
    package enum Value: Sendable, Hashable {
        /// The subject does not have the claim.
        case none
        case value(JSONValue)
        /// It may have it or not, and with any value.
        case unknown
    }

    private let claims: JSONObject
    /// The names that claims did not have; nil: all others.
    private let absent: Set<ExactString>?
    /// Whether a digest may stand in the place of a long text.
    private let hasDigests: Bool

    /// All that there are, as an issuer signs them.
    package init(all claims: JSONObject) {
        self.claims = claims
        absent = nil
        hasDigests = false
    }

    /// Those that were kept of a token.
    /// - Parameter absent: as `KeptClaims.absent` has it.
    package init(kept claims: JSONObject, absent: JSONValue?) {
        self.claims = claims
        self.absent = absent == true ? nil : Set((absent?.array ?? []).compactMap(\.string))
        hasDigests = true
    }

    package func value(at path: ClaimPath) -> Value {
        guard claims[path.topLevelName] != nil else {
            let name = path.topLevelName
            return absent?.contains(name) ?? true || KeptClaims.isAlwaysKept(name) ? .none : .unknown
        }
        let trail = path.trail(in: claims)
        let before = trail.prefix(path.length - 1)
        // Into a text leads nothing, and into an object of the same form something may.
        if hasDigests, before.contains(where: { KeptClaims.lengthOfText(behind: $0) != nil }) { return .unknown }
        guard trail.count == path.length, let value = trail.last else { return .none }
        return .value(value)
    }

    /// How long the text is that `value` stands for; nil where it stands for itself.
    fileprivate func lengthOfText(behind value: JSONValue) -> Int? {
        hasDigests ? KeptClaims.lengthOfText(behind: value) : nil
    }
}

/// Whether something holds, as far as it can be told.
package enum Truth: String, Sendable, Hashable {
    case holds, fails, unknown
}

extension ClaimMatcher {
    /// Whether it matches. Of a long text of which only the digest was kept that can be told for a pattern without a
    /// wildcard, and for one that no text of its length matches.
    package func truth(in known: KnownClaims) -> Truth {
        switch known.value(at: claim) {
        case .none: return .fails
        case .unknown: return .unknown
        case .value(let value):
            var isOpen = false
            for element in value.array ?? [value] {
                guard let length = known.lengthOfText(behind: element) else {
                    if matchesOne(element) { return .holds }
                    continue
                }
                switch truth(ofTextBehind: element, length) {
                case .holds: return .holds
                case .unknown: isOpen = true
                case .fails: break
                }
            }
            return isOpen ? .unknown : .fails
        }
    }

    private func truth(ofTextBehind digest: JSONValue, _ length: Int) -> Truth {
        var isOpen = false
        for case .text(let glob) in anyOf {
            if let text = glob.onlyText {
                if KeptClaims.shortened(.string(text)) == digest { return .holds }
            } else if (glob.minimumLength...Glob.maximumTextLength).contains(length) {
                isOpen = true
            }
        }
        return isOpen ? .unknown : .fails
    }
}
