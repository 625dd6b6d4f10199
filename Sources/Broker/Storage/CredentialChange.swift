package import FoundationEssentials
package import JOSE

/// What happens to a provider's credential in one transaction.
///
/// It says what it was decided upon, so that two decisions of the same moment cannot both be carried out where the second
/// one would have been another after the first.
package struct CredentialChange: Sendable {
    package enum Step: Sendable {
        /// A new version, staged; its number is the next one.
        case add(SealedCredential)
        /// That version becomes active; `former`, which is the active one, begins to drain.
        case promote(Int, from: CredentialVersion.State, former: Int?)
        /// That version is retired; `beside` stays the active one.
        case retire(Int, from: CredentialVersion.State, beside: Int?)
    }

    package let provider: ProviderName
    package let step: Step
    package let time: Date

    package init(_ provider: ProviderName, _ step: Step, at time: Date) {
        self.provider = provider
        self.step = step
        self.time = time
    }

    /// The versions as they are after the change, in their order.
    /// - Parameter versions: all of the provider's, retired ones too.
    /// - Returns: nil where they are not what the change was decided upon, or must not be changed so.
    package func applied(to versions: [CredentialVersion]) -> [CredentialVersion]? {
        let active = versions.first { $0.state == .active }?.number
        switch step {
        case .add(let added):
            guard added.version.provider == provider, added.version.state == .staged, !added.sealed.isEmpty,
                added.version.number == 1 + (versions.map(\.number).max() ?? 0),
                versions.count(where: { $0.state != .retired }) < CredentialVersion.maximumLive
            else { return nil }
            return versions + [added.version]
        case .promote(let number, let state, let former):
            guard active == former else { return nil }
            let drained = former.map { moving($0, from: .active, to: .draining, in: versions) } ?? versions
            return drained.flatMap { moving(number, from: state, to: .active, in: $0) }
        case .retire(let number, let state, let beside):
            guard active == beside else { return nil }
            return moving(number, from: state, to: .retired, in: versions)
        }
    }

    private func moving(
        _ number: Int, from state: CredentialVersion.State, to next: CredentialVersion.State,
        in versions: [CredentialVersion]
    ) -> [CredentialVersion]? {
        guard let index = versions.firstIndex(where: { $0.number == number }), versions[index].state == state,
            state.mayBecome(next)
        else { return nil }
        var versions = versions
        versions[index] = versions[index].moved(to: next, at: time)
        return versions
    }

    /// For the audit record: each version that changes, with its states before and after.
    package var json: JSONObject {
        typealias Move = (number: Int, before: CredentialVersion.State?, after: CredentialVersion.State)
        let moves: [Move] =
            switch step {
            case .add(let added): [(added.version.number, nil, .staged)]
            case .promote(let number, let state, nil): [(number, state, .active)]
            case .promote(let number, let state, let former?): [(former, .active, .draining), (number, state, .active)]
            case .retire(let number, let state, _): [(number, state, .retired)]
            }
        let versions = moves.map { move -> JSONValue in
            [
                "version": .number(Double(move.number)),
                "before": move.before.map { .string(ExactString($0.rawValue)) } ?? .null,
                "after": .string(ExactString(move.after.rawValue)),
            ]
        }
        return ["provider": .string(provider.text), "versions": .array(versions)]
    }
}
