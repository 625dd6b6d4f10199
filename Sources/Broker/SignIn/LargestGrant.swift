package import JOSE

/// What the rules grant a device at most, whoever of an issuer's people approves it: to be shown before it is known who
/// that is. It grants nothing by itself.
package struct LargestGrant: Sendable, Equatable {
    /// Each once, in the order of the rules.
    package let scope: [Scope]
    /// Patterns of model names, each once; nil where one of the rules does not speak of models.
    package let models: [ExactString]?
    package let maximumSession: Duration
}

extension RuleSet {
    /// - Returns: nil where no rule grants a device of this issuer's people anything.
    package func largestDeviceGrant(of issuer: IssuerName) -> LargestGrant? {
        let terms = deviceCandidates(of: issuer, naming: nil).map(\.terms)
        guard let longest = terms.map(\.maximumSession).max() else { return nil }
        let models =
            terms.contains { $0.models == nil } ? nil : unique(terms.flatMap { $0.models ?? [] }.map(\.pattern))
        return LargestGrant(scope: unique(terms.flatMap(\.scope)), models: models, maximumSession: longest)
    }

    private func unique<Element: Hashable>(_ elements: [Element]) -> [Element] {
        var seen: Set<Element> = []
        return elements.filter { seen.insert($0).inserted }
    }
}

extension SignIn {
    /// See `RuleSet.largestDeviceGrant`, by the rules of the moment.
    package func largestGrant(of issuer: IssuerName) -> LargestGrant? { rules.largestDeviceGrant(of: issuer) }
}
