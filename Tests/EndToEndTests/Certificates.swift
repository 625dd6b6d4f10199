import BrokerTesting
import Foundation
import JOSE
import Testing

/// Certificates that the programs of others make, in a workspace.
enum Certificates {
    /// The trust domain of `make-svids.py`, with what it grants: to `/key/*`, and bound to the certificate to `/bound`.
    static let pythonDomain = """
        trust_domains:
          - {name: python.example.org, bundle: {file: bundle.json}, audience: \(RunningBroker.audience)}
          - {name: other.example.org, bundle: {file: other.json}}
        rules:
          - name: keys
            trust_domain: python.example.org
            match: {spiffe_id: "spiffe://python.example.org/key/*"}
            \(SecureBroker.grantOfBoth)}
          - name: bound
            trust_domain: python.example.org
            match: {spiffe_id: "spiffe://python.example.org/bound"}
            \(SecureBroker.grantOfBoth), bind: true}

        """

    /// A trust domain of `certs/make-development` in the folder `name`.
    static func develop(_ workspace: Workspace, _ name: String, _ more: String...) async throws {
        let script = Programs.repository.appending(path: "certs/make-development").path(percentEncoded: false)
        let made = try await RunningProcess(script, [workspace.path(name)] + more).outcome()
        try #require(made.status == 0, "\(made.error)")
    }

    /// What the Python package `cryptography` makes: see `Tests/Peers/make-svids.py`.
    static func python(_ workspace: Workspace, _ options: String...) async throws {
        let script = Programs.repository.appending(path: "Tests/Peers/make-svids.py").path(percentEncoded: false)
        let made = try await RunningProcess(
            try #require(Programs.certificatePython), [script, workspace.path("")] + options
        ).outcome()
        try #require(made.status == 0, "\(made.error)")
    }

    /// SHA-256 of the first certificate in a file, as the command openssl computes it.
    static func fingerprint(_ workspace: Workspace, _ name: String) async throws -> [UInt8] {
        let shown = try await RunningProcess(
            try #require(Programs.openssl), ["x509", "-in", workspace.path(name), "-noout", "-fingerprint", "-sha256"]
        ).outcome()
        let digits = try #require(shown.output.split(separator: "=").last, "\(shown)")
        return digits.split(whereSeparator: { ":\n".contains($0) }).compactMap { UInt8($0, radix: 16) }
    }
}

extension TokenSegments {
    /// The claims.
    var claims: JSONObject {
        get throws { try JSONReader.readObject(Base64URL.decode(ExactString(payload))) }
    }
}
