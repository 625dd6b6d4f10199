import FoundationEssentials
package import JOSE

/// How the issuers' keys are, for administrators.
package protocol IssuerReader: Sendable {
    /// In the order of the configuration. Does not suspend.
    func statuses() -> [AdministrationAPI.Issuer]
}

extension AdministrationAPI {
    package struct Issuer: Sendable {
        package let name: ExactString
        package let issuer: ExactString
        package let keys: IssuerKeys.Status

        package init(name: ExactString, issuer: ExactString, keys: IssuerKeys.Status) {
            self.name = name
            self.issuer = issuer
            self.keys = keys
        }

        package var json: JSONObject {
            var json: JSONObject = [
                "name": .string(name), "issuer": .string(issuer), "usable": .bool(keys.isUsable),
                "keys": .number(Double(keys.keyCount)),
            ]
            if let age = keys.age { _ = json.append("age_seconds", .number(Double(age.components.seconds))) }
            if let fetch = keys.lastFetch { _ = json.append("last_refresh", AdministrationAPI.json(fetch)) }
            if let error = keys.lastError { _ = json.append("last_error", .string(ExactString(error))) }
            if let since = keys.failingSince { _ = json.append("failing_since", AdministrationAPI.json(since)) }
            return json
        }
    }
}

/// The issuers that the broker trusts at the moment.
package struct TrustedIssuerReader: IssuerReader {
    private let issuers: @Sendable () -> [TrustedIssuer]

    /// - Parameter issuers: those of the moment.
    package init(_ issuers: @escaping @Sendable () -> [TrustedIssuer]) {
        self.issuers = issuers
    }

    package func statuses() -> [AdministrationAPI.Issuer] {
        issuers().map {
            AdministrationAPI.Issuer(
                name: $0.configuration.name.text, issuer: $0.configuration.issuer, keys: $0.keys.status)
        }
    }
}
