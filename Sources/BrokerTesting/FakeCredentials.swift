package import Broker
import FoundationEssentials
import JOSE
package import OpenSSL
import Synchronization

/// The credentials of providers in memory, with the secrets in the clear: what arrived can be looked at.
package final class FakeCredentials: CredentialAdministration {
    package typealias API = AdministrationAPI

    private struct State: Sendable {
        var versions: [CredentialVersion] = []
        var secrets: [[UInt8]] = []
        var failure: AdministrationFailure?
    }

    private let state = Mutex(State())

    package init() {}

    /// Every secret that arrived, in the order of arrival.
    package var secrets: [[UInt8]] { state.withLock { $0.secrets } }
    package var versions: [CredentialVersion] { state.withLock { $0.versions } }

    /// Everything fails with it from now on.
    package func fail(with failure: AdministrationFailure?) {
        state.withLock { $0.failure = failure }
    }

    /// What is there from now on.
    package func hold(_ versions: [CredentialVersion]) {
        state.withLock { $0.versions = versions }
    }

    private func check() throws(AdministrationFailure) {
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    package func credentials(
        of provider: ProviderName?, _ page: API.PageRequest
    ) async throws(AdministrationFailure) -> API.Page<API.Credential> {
        try check()
        let all = versions.filter { provider == nil || $0.provider == provider }
        guard let first = Int(page.cursor?.string ?? "0"), (0...all.count).contains(first) else {
            throw .invalid("the cursor is none of ours")
        }
        let end = min(first + page.limit, all.count)
        return API.Page(
            all[first..<end].map { API.Credential($0) }, next: end < all.count ? ExactString(String(end)) : nil)
    }

    package func add(
        _ secret: SecretBytes, to provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.Credential {
        try check()
        let bytes = secret.withSpan { span in (0..<span.count).map { span[$0] } }
        return state.withLock { state in
            let version = CredentialVersion(
                provider: provider, number: 1 + state.versions.count { $0.provider == provider }, state: .staged,
                masterKeyID: "m1", created: FakeAdministration.start, since: FakeAdministration.start,
                caller: context.caller)
            state.versions.append(version)
            state.secrets.append(bytes)
            return API.Credential(version)
        }
    }

    package func promote(
        _ number: Int?, of provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.CredentialPromotion {
        try check()
        let known = versions.filter { $0.provider == provider }
        let staged = known.filter { $0.state == .staged }.map(\.number)
        guard let number = number ?? (staged.count == 1 ? staged.first : nil) else {
            throw .conflict("\(CredentialFailure.staged(staged, provider))")
        }
        let former = known.first { $0.state == .active }
        if let former, former.number == number {
            return API.CredentialPromotion(active: .init(former), draining: nil, isNew: false)
        }
        let draining = former.flatMap { move($0.number, provider, to: .draining) }
        guard let active = move(number, provider, to: .active) else { throw .notFound("there is no such version") }
        return API.CredentialPromotion(active: .init(active), draining: draining.map { .init($0) }, isNew: true)
    }

    package func retire(
        _ number: Int, of provider: ProviderName, isRehearsal: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.Credential {
        try check()
        let found = versions.first { $0.provider == provider && $0.number == number }
        guard let found else { throw .notFound("\(CredentialFailure.unknown(provider, number))") }
        guard found.state != .active else { throw .conflict("\(CredentialFailure.lastUsable(found))") }
        guard !isRehearsal, let retired = move(number, provider, to: .retired) else { return API.Credential(found) }
        return API.Credential(retired)
    }

    private func move(
        _ number: Int, _ provider: ProviderName, to next: CredentialVersion.State
    ) -> CredentialVersion? {
        state.withLock { state -> CredentialVersion? in
            guard let index = state.versions.firstIndex(where: { $0.provider == provider && $0.number == number })
            else { return nil }
            state.versions[index] = state.versions[index].moved(
                to: next, at: FakeAdministration.start.addingTimeInterval(60))
            return state.versions[index]
        }
    }
}
