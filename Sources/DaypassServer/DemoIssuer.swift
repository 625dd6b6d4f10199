import Foundation
import JOSE
import OpenSSL

/// An issuer for the demonstration: it signs tokens shaped like those of GitHub Actions.
struct DemoIssuer {
    static let issuer = "https://token.actions.demo"
    private static let audience = "https://daypass.demo"

    private let signer: JWSSigner
    private let jwks: [UInt8]

    init() throws {
        let key = try PrivateKey.generate(.rsa(bits: 2048))
        let keyID = JWK.thumbprint(of: key.publicKey)
        signer = JWSSigner(key: key, keyID: keyID, algorithm: .RS256, type: "JWT")
        let jwk = JWK(keyID: keyID, publicKey: key.publicKey, algorithm: .RS256)
        jwks = JSONValue.object(["keys": .array([.object(jwk.json)])]).encoded()
    }

    /// A token as a job of the repository acme/app gets it on `branch`.
    func token(branch: String) throws -> String {
        let now = Date().timeIntervalSince1970.rounded(.down)
        let reference = "refs/heads/\(branch)"
        let workflow = "acme/app/.github/workflows/ci.yml@\(reference)"
        let claims: JSONObject = [
            "iss": .string(ExactString(Self.issuer)), "aud": .string(ExactString(Self.audience)),
            "sub": .string(ExactString("repo:acme/app:ref:\(reference)")), "iat": .number(now),
            "nbf": .number(now - 300),
            "exp": .number(now + 300), "jti": .string(ExactString(UUID().uuidString)), "repository": "acme/app",
            "repository_id": "123456", "repository_owner_id": "6789", "ref": .string(ExactString(reference)),
            "job_workflow_ref": .string(ExactString(workflow)), "event_name": "push", "run_id": "4711",
        ]
        return try signer.sign(claims.encoded())
    }

    /// Writes a configuration that trusts this issuer and a trust domain, and the issuer's keys beside it.
    /// - Returns: the path of the configuration.
    func writeConfiguration(in folder: URL, port: Int) throws -> String {
        try Data(jwks).write(to: folder.appending(path: "issuer.json"))
        let file = folder.appending(path: "daypass.yaml")
        try Data(configuration(port: port).utf8).write(to: file)
        return file.path(percentEncoded: false)
    }

    private func configuration(port: Int) -> String {
        """
        server:
          public:
            listen: "127.0.0.1:\(port)"
            url: "https://127.0.0.1:\(port)"
            tls: {certificate: server.pem, key: server.key}
          telemetry: {listen: "127.0.0.1:0"}
        tokens: {audiences: ["https://gateway.demo"]}
        store: {sqlite: data/daypass.db}
        master_key_file: data/master.key
        issuers:
          - name: github
            issuer: \(Self.issuer)
            audience: \(Self.audience)
            keys: {file: issuer.json}
            algorithms: [RS256]
            max_lifetime: 15m
            require_one_of: [repository_id, repository_owner_id]
        trust_domains:
          - name: \(DemoTrustDomain.name)
            bundle: {file: bundle.pem}
        rules:
          - name: ci-main
            issuer: github
            match:
              repository_id: "123456"
              ref: refs/heads/main
              job_workflow_ref: "acme/app/.github/workflows/*.yml@refs/heads/main"
            grant:
              scope: [anthropic:messages, anthropic:count_tokens]
              ttl: 15m
              max_session: 6h
          - name: ml-workloads
            trust_domain: \(DemoTrustDomain.name)
            match: {spiffe_id: "spiffe://\(DemoTrustDomain.name)/ns/ml/sa/*"}
            grant:
              scope: [anthropic:messages]
              ttl: 30m
              bind: true

        """
    }
}
