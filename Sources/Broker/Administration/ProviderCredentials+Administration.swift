import JOSE
package import OpenSSL

/// The credentials as administrators reach them.
extension ProviderCredentials: CredentialAdministration {
    package func credentials(
        of provider: ProviderName?, _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Credential> {
        var position: CredentialPosition?
        if let cursor = page.cursor {
            position = CredentialPosition(parsing: cursor)
            guard position != nil else { throw .invalid("the cursor is none of ours") }
        }
        let found: [CredentialVersion]
        do {
            // One more than is asked for says whether there is a next page.
            found = try await list(of: provider, after: position, limit: page.limit + 1)
        } catch {
            throw AdministrationFailure(error)
        }
        if let provider, position == nil, found.isEmpty {
            throw AdministrationFailure(.unknown(provider, nil))
        }
        let part = found.prefix(page.limit)
        let last = part.last.map { CredentialPosition($0.provider, $0.number).text }
        return AdministrationAPI.Page(
            part.map { AdministrationAPI.Credential($0) }, next: found.count > page.limit ? last : nil)
    }

    package func add(
        _ secret: SecretBytes, to provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.Credential {
        do {
            return AdministrationAPI.Credential(
                try await add(secret, to: provider, by: context.caller, under: context.trace))
        } catch {
            throw AdministrationFailure(error)
        }
    }

    package func promote(
        _ number: Int?, of provider: ProviderName, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.CredentialPromotion {
        do {
            let promoted = try await promote(number, of: provider, by: context.caller, under: context.trace)
            return AdministrationAPI.CredentialPromotion(
                active: .init(promoted.active), draining: promoted.draining.map { .init($0) }, isNew: promoted.isNew)
        } catch {
            throw AdministrationFailure(error)
        }
    }

    package func retire(
        _ number: Int, of provider: ProviderName, isRehearsal: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.Credential {
        do {
            return AdministrationAPI.Credential(
                try await retire(
                    number, of: provider, isRehearsal: isRehearsal, by: context.caller, under: context.trace))
        } catch {
            throw AdministrationFailure(error)
        }
    }
}

extension AdministrationFailure {
    fileprivate init(_ failure: CredentialFailure) {
        switch failure {
        case .unknown: self = .notFound("\(failure)")
        case .length: self = .invalid("\(failure)")
        case .duplicate, .retired, .lastUsable, .activeUnusable, .damaged, .noneActive, .staged, .tooManyVersions,
            .tooManyProviders:
            self = .conflict("\(failure)")
        case .otherMasterKey, .busy, .sealing, .store: self = .unavailable("\(failure)")
        }
    }
}
