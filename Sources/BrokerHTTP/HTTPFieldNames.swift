import HTTPTypes

extension HTTPField.Name {
    private static func known(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is a header name") }
        return name
    }

    static let forwardedFor = known("X-Forwarded-For")
    /// RFC 9440 §2.2
    static let clientCert = known("Client-Cert")
    static let forwardedClientCert = known("X-Forwarded-Client-Cert")
    static let apiKey = known("x-api-key")
    /// What Anthropic's SDKs show as the id of a request that failed.
    static let requestID = known("request-id")
    static let requireScope = known("Daypass-Require-Scope")
    static let requireModel = known("Daypass-Require-Model")
    static let daypassTraceID = known("Daypass-Trace-Id")
    static let daypassSubject = known("Daypass-Subject")
    static let daypassSession = known("Daypass-Session")
    static let daypassRule = known("Daypass-Rule")
    static let daypassScope = known("Daypass-Scope")
    static let daypassExpires = known("Daypass-Expires")
    static let daypassHint = known("Daypass-Hint")
    static let daypassNext = known("Daypass-Next")
    static let daypassComplete = known("Daypass-Complete")
}
