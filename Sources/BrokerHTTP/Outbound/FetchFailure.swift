package import Broker
package import SPIFFE

/// Why a document could not be fetched, in words for the operator. Nothing of a body is in it.
package enum FetchFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case resolution(OutboundURL.Host, ResolutionFailure)
    /// The name has this address, perhaps among others.
    case privateAddress(OutboundURL, IPAddress)
    /// Anything but https, to anything but loopback.
    case plainHTTP(OutboundURL)
    /// An endpoint of which only https is accepted, loopback or not.
    case notHTTPS(OutboundURL)
    /// To another host where the host is who answers, to plain HTTP, or to something that is no URL; `to` is nil then.
    case redirect(from: OutboundURL, to: OutboundURL?)
    case tooManyRedirects(OutboundURL)
    case connection(OutboundURL, String)
    /// The server's certificates prove no SPIFFE ID.
    case identity(OutboundURL, X509SVIDFailure)
    /// The server proved to be somebody, but not who it has to be.
    case otherIdentity(OutboundURL, SPIFFEID, expected: SPIFFEID)
    case status(OutboundURL, Int)
    case bodyTooLarge(OutboundURL)
    case deadline(OutboundURL)

    package var description: String {
        switch self {
        case .resolution(let host, let failure): "\(host) cannot be resolved: \(failure)"
        case .privateAddress(let url, let address):
            "\(url) leads to \(address.text), which is not a public address; allow_private would permit it"
        case .plainHTTP(let url):
            "\(url) is not https, and plain http is allowed only to loopback and with allow_private"
        case .notHTTPS(let url): "\(url) is not https"
        case .redirect(let url, let target?): "\(url) redirects to \(target), where it is not followed"
        case .redirect(let url, nil): "\(url) redirects to something that is not a URL we would follow"
        case .tooManyRedirects(let url): "\(url) redirects more than \(GuardedFetcher.maximumRedirects) times"
        case .connection(let url, let reason): "\(url) cannot be read: \(reason)"
        case .identity(let url, let failure): "\(url) does not prove who it is: \(failure)"
        case .otherIdentity(let url, let id, let expected): "\(url) is \(id) and not \(expected)"
        case .status(let url, let status): "\(url) answers \(status)"
        case .bodyTooLarge(let url): "\(url) answers with more than \(GuardedFetcher.maximumBodyBytes / 1024) KiB"
        case .deadline(let url): "\(url) did not answer in time"
        }
    }
}
