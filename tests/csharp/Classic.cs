using System.Runtime.InteropServices;

namespace DefenderXdr.Tests;

/// <summary>The marshalling is done at run time, as .NET Framework does it.</summary>
internal sealed class Classic : INative
{
    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern uint dxdr_abi_version();

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern nint dxdr_version();

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern nint dxdr_status_name(int status);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_buf_get(nint buf, out nint data, out nuint len);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_buf_free(nint buf);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_secret_new_utf8(byte[]? value, nuint len, out nint secret, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_secret_new_utf16(nint value, nuint units, out nint secret, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_secret_free(nint secret);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_cancel_new(out nint cancel, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_cancel_trigger(nint cancel);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_cancel_free(nint cancel);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_new(byte[]? config, nuint len, out nint client, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_describe(nint client, out nint json, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_clear_cache(nint client, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_accounts_start(nint client, byte[]? document, nuint documentLen, uint timeoutMs, out nint op, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_accounts(nint client, out nint json, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_remove_account(nint client, byte[]? account, nuint accountLen, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_export_refresh_token(nint client, byte[]? account, nuint accountLen, byte[]? clientId, nuint clientIdLen,
        out nint token, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_free(nint client);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_client_set_secret(nint client, byte[]? name, nuint nameLen, nint secret, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_request_new(nint client, byte[]? json, nuint len, out nint request, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_request_set_secret(nint request, byte[]? name, nuint nameLen, nint secret, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_request_describe(nint request, out nint json, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_request_free(nint request);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_acquire_token(nint request, uint timeoutMs, nint cancel, out nint token, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_cached_token(nint request, out nint token, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_token_value(nint token, out nint data, out nuint len);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_token_id_token(nint token, out nint data, out nuint len);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_token_expires_on(nint token, out long unixSeconds);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_token_describe(nint token, out nint json, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_token_free(nint token);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_decode_claims(byte[]? token, nuint len, out nint claims, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_get_incidents(nint request, byte[]? query, nuint queryLen, uint timeoutMs, nint cancel, out nint page, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_acquire_token_start(nint request, uint timeoutMs, out nint op, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_list_incidents_start(nint request, byte[]? query, nuint queryLen, uint timeoutMs, out nint op, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_get_incident_start(nint request, byte[]? query, nuint queryLen, uint timeoutMs, out nint op, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_call_start(nint request, byte[]? call, nuint callLen, uint timeoutMs, out nint op, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_describe_services(out nint json, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_resume(nint op, out nint resume, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_wait(nint op, uint waitMs, out int state);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_take_event(nint op, out nint @event, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_reply(nint op, ulong eventId, byte[]? reply, nuint len, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_take_item(nint op, out nint item, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_take_token(nint op, out nint token, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_take_error(nint op, out nint detail, out nint error);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_cancel(nint op);

    [DllImport(Program.Library, CallingConvention = CallingConvention.Cdecl, ExactSpelling = true)]
    public static extern int dxdr_op_free(nint op);
}
