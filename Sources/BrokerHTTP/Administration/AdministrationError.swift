// How every refusal of the administration listeners looks on the wire: `{"error", "message", "trace_id"}` and a status.
import Broker
import HTTPTypes
import Hummingbird
import JOSE

/// A request for administration that is not answered with what it asked for.
struct AdministrationError: Error {
    let status: HTTPResponse.Status
    let code: String
    let message: String
    /// Of `WWW-Authenticate`
    private(set) var challenge: String?
    /// Of `Allow`
    private(set) var allowed: String?
    /// Whether the rest of the request is not waited for.
    private(set) var closesConnection = false

    init(_ status: HTTPResponse.Status, _ code: String, _ message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    init(_ failure: AdministrationFailure) {
        switch failure {
        case .notFound(let message): self.init(.notFound, "not_found", message)
        case .invalid(let message): self.init(.badRequest, "invalid_request", message)
        case .conflict(let message): self.init(.conflict, "conflict", message)
        case .unavailable(let message): self.init(.serviceUnavailable, "unavailable", message)
        }
    }

    static func invalid(_ message: String) -> AdministrationError { AdministrationError(.invalid(message)) }

    static let notPermitted = AdministrationError(
        .forbidden, "not_permitted",
        "this user may not administer the broker: root, the broker's own user and members of server.admin.group may")
    static let membershipUnknown = AdministrationError(
        .serviceUnavailable, "unavailable",
        "whether this user is in server.admin.group is not known: the system's database of users does not answer in time"
    )
    static let notFound = AdministrationError(.notFound, "not_found", "there is no such route")

    static let noToken: AdministrationError = {
        var error = AdministrationError(.unauthorized, "unauthorized", "a bearer token is needed")
        // RFC 6750 §3.1: no error code where no token was given.
        error.challenge = "Bearer"
        return error
    }()

    static let invalidToken: AdministrationError = {
        var error = AdministrationError(.unauthorized, "invalid_token", "the token is not acceptable")
        error.challenge = #"Bearer error="invalid_token""#
        return error
    }()

    static func tooLong(_ maximum: Int) -> AdministrationError {
        var error = AdministrationError(.contentTooLarge, "too_long", "the body is longer than \(maximum) bytes")
        error.closesConnection = true
        return error
    }

    static let bodyTooSlow: AdministrationError = {
        var error = AdministrationError(.requestTimeout, "timeout", "the body did not come in time")
        error.closesConnection = true
        return error
    }()

    static func insufficientScope(_ scope: AdministrationScope) -> AdministrationError {
        var error = AdministrationError(.forbidden, "insufficient_scope", "the token needs the scope \(scope.rawValue)")
        error.challenge = #"Bearer error="insufficient_scope", scope="\#(scope.rawValue)""#
        return error
    }

    static func methodNotAllowed(_ allowed: String) -> AdministrationError {
        var error = AdministrationError(.methodNotAllowed, "method_not_allowed", "the method has to be \(allowed)")
        error.allowed = allowed
        return error
    }

    func response(trace: TraceID) -> Response {
        var response = Response.json(status, Self.body(code, message, trace))
        response.headers[.wwwAuthenticate] = challenge
        response.headers[.allow] = allowed
        if status == .serviceUnavailable { response.headers[.retryAfter] = "1" }
        if closesConnection { response.headers[.connection] = "close" }
        return response
    }

    static func body(_ code: String, _ message: String, _ trace: TraceID) -> JSONObject {
        [
            "error": .string(ExactString(code)), "message": .string(ExactString(message)),
            "trace_id": .string(ExactString(trace.description)),
        ]
    }
}
