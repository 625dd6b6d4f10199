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
        _ number: Int, of provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.CredentialPromotion {
        try check()
        let former = versions.first { $0.provider == provider && $0.state == .active }
        let draining = former.flatMap { move($0.number, provider, to: .draining) }
        guard let active = move(number, provider, to: .active) else { throw .notFound("there is no such version") }
        return API.CredentialPromotion(active: .init(active), draining: draining.map { .init($0) })
    }

    package func retire(
        _ number: Int, of provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> API.Credential {
        try check()
        guard let retired = move(number, provider, to: .retired) else { throw .notFound("there is no such version") }
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
