package import Broker

/// Why a document could not be fetched, in words for the operator. Nothing of a body is in it.
package enum FetchFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case resolution(OutboundURL.Host, ResolutionFailure)
    /// The name has this address, perhaps among others.
    case privateAddress(OutboundURL, IPAddress)
    /// Anything but https, to anything but loopback.
    case plainHTTP(OutboundURL)
    /// To another host, to plain HTTP, or to something that is no URL; `to` is nil then.
    case redirect(from: OutboundURL, to: OutboundURL?)
    case tooManyRedirects(OutboundURL)
    case connection(OutboundURL, String)
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
        case .redirect(let url, let target?): "\(url) redirects to \(target), where it is not followed"
        case .redirect(let url, nil): "\(url) redirects to something that is not a URL we would follow"
        case .tooManyRedirects(let url): "\(url) redirects more than \(GuardedFetcher.maximumRedirects) times"
        case .connection(let url, let reason): "\(url) cannot be read: \(reason)"
        case .status(let url, let status): "\(url) answers \(status)"
        case .bodyTooLarge(let url): "\(url) answers with more than \(GuardedFetcher.maximumBodyBytes / 1024) KiB"
        case .deadline(let url): "\(url) did not answer in time"
        }
    }
}
