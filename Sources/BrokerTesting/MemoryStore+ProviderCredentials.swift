package import Broker

// Provider credentials.
extension MemoryStore {
    package func sealedCredentials(of provider: ProviderName) async throws(StoreFailure) -> [SealedCredential] {
        try whileReachable { $0.credentials[provider] ?? [] }
    }

    package func credentialVersions(
        of provider: ProviderName?, after position: CredentialPosition?, limit: Int
    ) async throws(StoreFailure) -> [CredentialVersion] {
        try whileReachable { state in
            let all = state.credentials.sorted { $0.key < $1.key }.flatMap(\.value).map(\.version)
            let found = all.filter { version in
                guard provider == nil || version.provider == provider else { return false }
                guard let position else { return true }
                return version.provider == position.provider
                    ? version.number > position.number : version.provider > position.provider
            }
            return Array(found.prefix(limit))
        }
    }

    package func countCredentialProviders() async throws(StoreFailure) -> Int {
        try whileReachable { $0.credentials.count }
    }

    package func apply(_ change: CredentialChange, _ event: AuditEvent) async throws(StoreFailure) {
        try whileReachable { state throws(StoreFailure) in
            var credentials = state.credentials[change.provider] ?? []
            guard let versions = change.applied(to: credentials.map(\.version)) else {
                throw StoreFailure(.conflict, "change a provider credential", cause: "it is in another state")
            }
            if case .add(let added) = change.step { credentials.append(added) }
            state.credentials[change.provider] = zip(credentials, versions).map { credential, version in
                SealedCredential(version, sealed: version.state == .retired ? [] : credential.sealed)
            }
            state.append(event)
        }
    }

    package func record(_ uses: [CredentialUse]) async throws(StoreFailure) {
        try whileReachable { state in
            for use in uses {
                guard
                    let index = state.credentials[use.provider]?.firstIndex(where: { $0.version.number == use.number })
                else { continue }
                if let credential = state.credentials[use.provider]?[index] {
                    state.credentials[use.provider]?[index] = SealedCredential(
                        credential.version.used(use), sealed: credential.sealed)
                }
            }
        }
    }
}
