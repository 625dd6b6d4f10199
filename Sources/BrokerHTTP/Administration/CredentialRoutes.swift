import Broker
import HTTPTypes
import Hummingbird
import JOSE
import NIOCore
import OpenSSL

/// What is asked of the providers' credentials: `credentials`, `credentials/{provider}/versions`, of one version
/// `…/{number}/promote` and `…/{number}/retire`, and of the one that is staged `credentials/{provider}/promote`.
enum CredentialOperation: Equatable {
    case list(ProviderName?)
    case add(ProviderName)
    /// Without a number the one that is staged.
    case promote(Int?, ProviderName)
    case retire(Int, ProviderName)

    var parameters: [ExactString] {
        if case .list = self { ["cursor", "limit"] } else { [] }
    }

    /// The members that its body may have.
    var flags: [ExactString] {
        if case .retire = self { ["dry_run"] } else { [] }
    }

    /// - Parameter parts: of the path behind `credentials`.
    static func operations(
        _ parts: ArraySlice<ExactString>
    ) throws(AdministrationError) -> [HTTPRequest.Method: CredentialOperation] {
        let parts = Array(parts)
        guard let name = parts.first else { return [.get: .list(nil)] }
        let isOfStaged = parts.count == 2 && parts[1] == "promote"
        guard isOfStaged || ((parts.count == 2 || parts.count == 4) && parts[1] == "versions") else { throw .notFound }
        // It is not repeated: who mixes up the two sends a secret here.
        guard let provider = ProviderName(parsing: name.string) else {
            throw .invalid("a provider's name has 1 to 63 small letters, digits and hyphens, and begins with a letter")
        }
        if isOfStaged { return [.post: .promote(nil, provider)] }
        guard parts.count == 4 else { return [.get: .list(provider), .post: .add(provider)] }
        guard let number = Int(parts[2].string), number > 0, String(number) == parts[2].string else { throw .notFound }
        switch parts[3] {
        case "promote": return [.post: .promote(number, provider)]
        case "retire": return [.post: .retire(number, provider)]
        default: throw .notFound
        }
    }
}

extension AdministrationRoutes {
    func answer(
        _ operation: CredentialOperation, _ request: Request, _ query: AdministrationQuery, _ act: AdministrativeContext
    ) async throws(AdministrationError) -> Response {
        var secret: SecretBytes?
        var flags: Set<ExactString> = []
        if case .add = operation {
            secret = try await self.secret(of: request)
        } else {
            var body = try await body(of: request, upTo: AdministrationRoutes.maximumBodyLength)
            defer { body.wipe() }
            do throws(AdministrationFailure) {
                flags = try AdministrationAPI.flags(body, operation.flags)
            } catch {
                throw AdministrationError(error)
            }
        }
        do throws(AdministrationFailure) {
            return try await answer(operation, secret, isRehearsal: flags.contains("dry_run"), query, act)
        } catch {
            throw AdministrationError(error)
        }
    }

    private func answer(
        _ operation: CredentialOperation, _ secret: SecretBytes?, isRehearsal: Bool, _ query: AdministrationQuery,
        _ act: AdministrativeContext
    ) async throws(AdministrationFailure) -> Response {
        let credentials = administration.credentials
        switch operation {
        case .list(let provider):
            let page = try query.page()
            return .json(.ok, try await credentials.credentials(of: provider, page).json("credentials", \.json))
        case .add(let provider):
            guard let secret else { throw .invalid("the secret is missing") }
            return .json(.created, try await credentials.add(secret, to: provider, act).json)
        case .promote(let number, let provider):
            return .json(.ok, try await credentials.promote(number, of: provider, act).json)
        case .retire(let number, let provider):
            return .json(.ok, try await credentials.retire(number, of: provider, isRehearsal: isRehearsal, act).json)
        }
    }

    /// The body, byte for byte, which is never in JSON, nor in a string or an array: what a connection has read of it is
    /// overwritten as soon as it is taken.
    private func secret(of request: Request) async throws(AdministrationError) -> SecretBytes {
        let maximum = ProviderCredentials.maximumLength
        guard request.headers[.contentType]?.lowercased() == "application/octet-stream",
            request.headers[.contentEncoding] == nil
        else {
            throw .invalid("the body has to be the secret itself, as application/octet-stream, and nothing else")
        }
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > maximum {
            throw .tooLong(maximum)
        }
        let buffer = SecretBuffer(capacity: maximum)
        do {
            for try await part in request.body {
                let fits = buffer.append(part.readableBytesUInt8Span)
                part.wipe()
                guard fits else { throw AdministrationError.tooLong(maximum) }
            }
        } catch let error as AdministrationError {
            throw error
        } catch is RequestTimeout {
            throw .bodyTooSlow
        } catch {
            throw .invalid("the body was cut off")
        }
        guard buffer.count > 0 else { throw .invalid("the secret is empty") }
        return buffer.secret
    }
}
