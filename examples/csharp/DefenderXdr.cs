// The Defender XDR library for C#: safe handles that are freed for you, exceptions made of the library's error documents, and CancellationToken.
// The library (defender_xdr.dll, libdefender_xdr.so, libdefender_xdr.dylib) is looked for as any native library is: beside the program, or where
// DEFENDER_XDR_LIBRARY says (an absolute path). Needs .NET 8 or newer.

using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DefenderXdr;

/// <summary>Settings and connections. Make one and keep it; it is safe from many threads.</summary>
public sealed class DefenderClient : IDisposable
{
    private readonly ClientHandle handle;

    /// <param name="application">Your program as "Name/Version", for the User-Agent.</param>
    /// <param name="cache">Clients of one process that name the same cache share its tokens; "private" shares with nobody.</param>
    public DefenderClient(string? application = null, string cache = "default")
    {
        var config = new JsonObject { ["cache"] = cache };
        if (application is not null)
        {
            config["application"] = application;
        }
        Native.Check(Native.dxdr_client_new(Json.Bytes(config, out var len), len, out handle, out var error), error);
    }

    /// <summary>The app signs in by itself, with a client secret.</summary>
    public DefenderRequest AsApp(string tenant, string clientId, string secret, string resource = DefenderRequest.Api)
    {
        var request = Prepare(new() { ["grant"] = "client_credentials", ["tenant_id"] = tenant, ["client_id"] = clientId, ["resource"] = resource });
        request.SetSecret("client_secret", secret);
        return request;
    }

    /// <summary>A person signs in with the system's browser; later calls use the cache.</summary>
    public DefenderRequest AsUser(string tenant, string clientId, string resource = DefenderRequest.Api) =>
        Prepare(new() { ["grant"] = "authorization_code", ["tenant_id"] = tenant, ["client_id"] = clientId, ["resource"] = resource });

    /// <summary>Any request; the keys are those of dxdr_request_new in the header.</summary>
    public DefenderRequest Prepare(JsonObject document)
    {
        Native.Check(Native.dxdr_request_new(handle, Json.Bytes(document, out var len), len, out var request, out var error), error);
        return new DefenderRequest(request);
    }

    public void Dispose() => handle.Dispose();
}

/// <summary>A wish for a token, checked once and used many times. Safe from many threads.</summary>
public sealed class DefenderRequest : IDisposable
{
    public const string Api = "https://api.security.microsoft.com";

    private readonly RequestHandle handle;

    internal DefenderRequest(RequestHandle handle) => this.handle = handle;

    /// <summary>Gives the request a secret by name: "client_secret", "refresh_token" or "access_token".</summary>
    public void SetSecret(string name, string value)
    {
        var bytes = Encoding.UTF8.GetBytes(value);
        try
        {
            Native.Check(Native.dxdr_secret_new_utf8(bytes, (nuint)bytes.Length, out var secret, out var error), error);
            using (secret)
            {
                var nameBytes = Encoding.UTF8.GetBytes(name);
                Native.Check(Native.dxdr_request_set_secret(handle, nameBytes, (nuint)nameBytes.Length, secret, out error), error);
            }
        }
        finally
        {
            Array.Clear(bytes);
        }
    }

    /// <summary>Acquires a token and blocks until it is there; from the cache it is there at once.</summary>
    public DefenderToken AcquireToken(CancellationToken cancel = default)
    {
        using var signal = new CancelSignal(cancel);
        Native.Check(Native.dxdr_acquire_token(handle, 0, signal.Handle, out var token, out var error), error, cancel);
        return new DefenderToken(token);
    }

    /// <summary>Lists incidents, newest first; the next page is fetched while you use this one. Leaving the loop early stops it.</summary>
    /// <param name="filter">OData, such as "status eq 'Active'".</param>
    public IEnumerable<JsonElement> ListIncidents(string? filter = null, int? first = null, CancellationToken cancel = default)
    {
        var query = new JsonObject();
        if (filter is not null)
        {
            query["filter"] = filter;
        }
        if (first is not null)
        {
            query["first"] = first;
        }
        Native.Check(Native.dxdr_list_incidents_start(handle, Json.Bytes(query, out var len), len, 0, out var op, out var error), error);
        using var operation = op;
        using var registration = cancel.Register(() => Native.dxdr_op_cancel(op));
        while (true)
        {
            Native.Check(Native.dxdr_op_wait(op, uint.MaxValue, out var state));
            switch (state)
            {
                case OpState.Running:
                    break;
                case OpState.Event:
                    // Progress, retries and warnings; nothing here needs a reply.
                    Native.Check(Native.dxdr_op_take_event(op, out var notice, out error), error);
                    notice.Dispose();
                    break;
                case OpState.Item:
                    Native.Check(Native.dxdr_op_take_item(op, out var item, out error), error);
                    if (item.TakeJson() is { } incident)
                    {
                        yield return incident;
                    }
                    break;
                case OpState.Done:
                    yield break;
                default:
                    Native.Check(Native.dxdr_op_take_error(op, out var detail, out error), error);
                    throw DefenderException.From(detail.TakeJson(), cancel);
            }
        }
    }

    public void Dispose() => handle.Dispose();
}

/// <summary>An access token. Its text does not show the token.</summary>
public sealed class DefenderToken : IDisposable
{
    private readonly TokenHandle handle;

    internal DefenderToken(TokenHandle handle) => this.handle = handle;

    /// <summary>What goes behind "Authorization: Bearer ".</summary>
    public string Value
    {
        get
        {
            Native.Check(Native.dxdr_token_value(handle, out var data, out var len));
            var text = Marshal.PtrToStringUTF8(data, (int)len);
            GC.KeepAlive(handle);
            return text;
        }
    }

    public DateTimeOffset ExpiresOn
    {
        get
        {
            Native.Check(Native.dxdr_token_expires_on(handle, out var seconds));
            return DateTimeOffset.FromUnixTimeSeconds(seconds);
        }
    }

    /// <summary>All about the token but the token: user, tenant, scopes, source.</summary>
    public JsonElement Describe()
    {
        Native.Check(Native.dxdr_token_describe(handle, out var json, out var error), error);
        return json.TakeJson() ?? default;
    }

    /// <summary>Reads a token: header, claims and a summary. Nothing is verified.</summary>
    public static JsonElement Decode(string token)
    {
        var bytes = Encoding.UTF8.GetBytes(token);
        Native.Check(Native.dxdr_decode_claims(bytes, (nuint)bytes.Length, out var claims, out var error), error);
        return claims.TakeJson() ?? default;
    }

    public override string ToString() => "[redacted]";

    public void Dispose() => handle.Dispose();
}

/// <summary>What went wrong, as the library says it. Holds no secret and no token.</summary>
public sealed class DefenderException : Exception
{
    private DefenderException(int code, string name, string message, JsonElement? detail) : base(message)
    {
        (Code, Name, Detail) = (code, name, detail);
    }

    /// <summary>The stable number, such as 4004.</summary>
    public int Code { get; }

    /// <summary>The stable name, such as "BAD_SECRET".</summary>
    public string Name { get; }

    /// <summary>The whole document: aadsts, http_status, retryable, retry_after_ms, correlation_id and more.</summary>
    public JsonElement? Detail { get; }

    /// <summary>What to do next.</summary>
    public string? Hint => Detail?.GetProperty("hint").GetString();

    public bool IsRetryable => Detail?.GetProperty("retryable").GetBoolean() ?? false;

    internal static Exception From(JsonElement? detail, CancellationToken cancel, int status = -1)
    {
        var code = detail?.GetProperty("code").GetInt32() ?? status;
        var name = Marshal.PtrToStringUTF8(Native.dxdr_status_name(code)) ?? "UNKNOWN";
        var message = detail?.GetProperty("message").GetString() ?? name;
        return code == Native.Cancelled ? new OperationCanceledException(message, cancel) : new DefenderException(code, name, message, detail);
    }
}

/// <summary>A CancellationToken as the library's cancel signal.</summary>
internal sealed class CancelSignal : IDisposable
{
    private readonly CancellationTokenRegistration registration;

    public CancelSignal(CancellationToken cancel)
    {
        // A handle of zero is NULL: no signal.
        Handle = new CancelHandle();
        if (cancel.CanBeCanceled)
        {
            Native.Check(Native.dxdr_cancel_new(out var handle, out var error), error);
            Handle = handle;
            registration = cancel.Register(() => Native.dxdr_cancel_trigger(handle));
        }
    }

    public CancelHandle Handle { get; }

    public void Dispose()
    {
        registration.Dispose();
        Handle.Dispose();
    }
}

internal static class Json
{
    public static byte[] Bytes(JsonObject document, out nuint len)
    {
        var bytes = Encoding.UTF8.GetBytes(document.ToJsonString());
        len = (nuint)bytes.Length;
        return bytes;
    }
}

internal enum OpState
{
    Running,
    Event,
    Item,
    Done,
    Failed,
    Cancelled,
}

/// <summary>A handle that looks like a pointer and is a number, which the library checks on every call.</summary>
internal abstract class DxdrHandle() : SafeHandle(0, ownsHandle: true)
{
    public override bool IsInvalid => handle == 0;
}

internal sealed class ClientHandle : DxdrHandle
{
    protected override bool ReleaseHandle() => Native.dxdr_client_free(handle) == 0;
}

internal sealed class RequestHandle : DxdrHandle
{
    protected override bool ReleaseHandle() => Native.dxdr_request_free(handle) == 0;
}

internal sealed class SecretHandle : DxdrHandle
{
    protected override bool ReleaseHandle() => Native.dxdr_secret_free(handle) == 0;
}

internal sealed class TokenHandle : DxdrHandle
{
    protected override bool ReleaseHandle() => Native.dxdr_token_free(handle) == 0;
}

internal sealed class OpHandle : DxdrHandle
{
    protected override bool ReleaseHandle() => Native.dxdr_op_free(handle) == 0;
}

internal sealed class CancelHandle : DxdrHandle
{
    protected override bool ReleaseHandle() => Native.dxdr_cancel_free(handle) == 0;
}

internal sealed class BufHandle : DxdrHandle
{
    protected override bool ReleaseHandle() => Native.dxdr_buf_free(handle) == 0;

    /// <summary>The buffer's JSON, after which it is freed; null when there is no buffer.</summary>
    public unsafe JsonElement? TakeJson()
    {
        using (this)
        {
            if (IsInvalid)
            {
                return null;
            }
            Native.Check(Native.dxdr_buf_get(this, out var data, out var len));
            return JsonSerializer.Deserialize<JsonElement>(new ReadOnlySpan<byte>((void*)data, (int)len));
        }
    }
}

/// <summary>The library's functions, as include/defender_xdr.h declares them.</summary>
internal static partial class Native
{
    public const int Cancelled = 2000;
    private const string Library = "defender_xdr";
    private const uint Abi = 0x00010000;

    static Native()
    {
        NativeLibrary.SetDllImportResolver(typeof(Native).Assembly, Find);
        var abi = dxdr_abi_version();
        if (abi >> 16 != Abi >> 16 || (abi & 0xffff) < (Abi & 0xffff))
        {
            throw new DllNotFoundException($"the library's ABI is {abi >> 16}.{abi & 0xffff}, not {Abi >> 16}.{Abi & 0xffff} or newer");
        }
    }

    private static nint Find(string name, Assembly assembly, DllImportSearchPath? path) =>
        name == Library && Environment.GetEnvironmentVariable("DEFENDER_XDR_LIBRARY") is { Length: > 0 } file ? NativeLibrary.Load(file) : 0;

    /// <summary>Throws for every status but OK.</summary>
    public static void Check(int status, BufHandle? error = null, CancellationToken cancel = default)
    {
        if (status != 0)
        {
            throw DefenderException.From(error?.TakeJson(), cancel, status);
        }
        error?.Dispose();
    }

    [LibraryImport(Library)]
    public static partial uint dxdr_abi_version();

    [LibraryImport(Library)]
    public static partial nint dxdr_status_name(int status);

    [LibraryImport(Library)]
    public static partial int dxdr_buf_get(BufHandle buf, out nint data, out nuint len);

    [LibraryImport(Library)]
    public static partial int dxdr_buf_free(nint buf);

    [LibraryImport(Library)]
    public static partial int dxdr_secret_new_utf8(byte[] value, nuint len, out SecretHandle secret, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_secret_free(nint secret);

    [LibraryImport(Library)]
    public static partial int dxdr_cancel_new(out CancelHandle cancel, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_cancel_trigger(CancelHandle cancel);

    [LibraryImport(Library)]
    public static partial int dxdr_cancel_free(nint cancel);

    [LibraryImport(Library)]
    public static partial int dxdr_client_new(byte[] config, nuint len, out ClientHandle client, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_client_free(nint client);

    [LibraryImport(Library)]
    public static partial int dxdr_request_new(ClientHandle client, byte[] json, nuint len, out RequestHandle request, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_request_set_secret(RequestHandle request, byte[] name, nuint nameLen, SecretHandle secret, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_request_free(nint request);

    [LibraryImport(Library)]
    public static partial int dxdr_acquire_token(RequestHandle request, uint timeoutMs, CancelHandle cancel, out TokenHandle token, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_token_value(TokenHandle token, out nint data, out nuint len);

    [LibraryImport(Library)]
    public static partial int dxdr_token_expires_on(TokenHandle token, out long unixSeconds);

    [LibraryImport(Library)]
    public static partial int dxdr_token_describe(TokenHandle token, out BufHandle json, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_token_free(nint token);

    [LibraryImport(Library)]
    public static partial int dxdr_decode_claims(byte[] token, nuint len, out BufHandle claims, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_list_incidents_start(RequestHandle request, byte[] query, nuint queryLen, uint timeoutMs, out OpHandle op, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_op_wait(OpHandle op, uint waitMs, out OpState state);

    [LibraryImport(Library)]
    public static partial int dxdr_op_take_event(OpHandle op, out BufHandle notice, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_op_take_item(OpHandle op, out BufHandle item, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_op_take_error(OpHandle op, out BufHandle detail, out BufHandle error);

    [LibraryImport(Library)]
    public static partial int dxdr_op_cancel(OpHandle op);

    [LibraryImport(Library)]
    public static partial int dxdr_op_free(nint op);
}
