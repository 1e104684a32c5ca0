#include "gateway/render.h"

static hsm_err render_of_a_key(const struct render_ctx *ctx, struct bytes result, struct json_wr *j)
{
    switch (ctx->op) {
    case OP_KEY_CREATE:
    case OP_KEY_IMPORT:
    case OP_KEY_RESTORE:
    case OP_KEY_GET:
    case OP_KEY_UPDATE:
    case OP_KEY_DELETE:
    case OP_DELETED_GET:
    case OP_KEY_RECOVER:
    case OP_KEY_ROTATE:
        return render_key(ctx, result, j);
    case OP_KEY_BACKUP:
        return render_key_backup(result, j);
    case OP_KEY_LIST:
    case OP_KEY_VERSIONS:
    case OP_DELETED_LIST:
        return render_key_page(ctx, result, j);
    case OP_ENCRYPT:
    case OP_DECRYPT:
    case OP_WRAP:
    case OP_UNWRAP:
    case OP_SIGN:
    case OP_VERIFY:
        return render_crypto(ctx, result, j);
    case OP_ROTATION_GET:
    case OP_ROTATION_PUT:
        return render_rotation_policy(ctx, result, j);
    case OP_KEY_PURGE:
        return HSM_OK;
    default:
        return HSM_E_INTERNAL;
    }
}

hsm_err render_result(const struct render_ctx *ctx, struct bytes result, struct wr *out)
{
    struct json_wr j = json_wr_of(out);
    switch (ctx->op) {
    case OP_ROLE_DEFINITION_GET:
    case OP_ROLE_DEFINITION_PUT:
    case OP_ROLE_DEFINITION_DELETE:
        TRY(render_role_definition(result, &j));
        break;
    case OP_ROLE_ASSIGNMENT_GET:
    case OP_ROLE_ASSIGNMENT_PUT:
    case OP_ROLE_ASSIGNMENT_DELETE:
        TRY(render_role_assignment(result, &j));
        break;
    case OP_ROLE_DEFINITION_LIST:
    case OP_ROLE_ASSIGNMENT_LIST:
        TRY(render_role_list(ctx, result, &j));
        break;
    case OP_SD_DOWNLOAD:
        TRY(render_sd_file(result, &j));
        break;
    case OP_SD_DOWNLOAD_STATUS:
    case OP_SD_UPLOAD_STATUS:
        TRY(render_sd_status(result, &j));
        break;
    case OP_RNG:
        TRY(render_rng(result, &j));
        break;
    case OP_SETTING_GET:
    case OP_SETTING_UPDATE:
        TRY(render_setting(result, &j));
        break;
    case OP_SETTING_LIST:
        TRY(render_setting_list(result, &j));
        break;
    default:
        TRY(render_of_a_key(ctx, result, &j));
        break;
    }
    return wr_ok(out);
}

void render_error(unsigned err, struct bytes detail, const char *activity, struct wr *out)
{
    struct json_wr j = json_wr_of(out);
    json_obj_open(&j);
    json_name(&j, "error");
    json_obj_open(&j);
    json_name(&j, "code");
    json_put_str(&j, hsm_err_code(err));
    json_name(&j, "message");
    json_str_open(&j);
    if (detail.n > 0)
        json_str_add(&j, detail);
    else
        json_str_add_s(&j, hsm_err_text(err));
    json_str_add_s(&j, " (Activity ID: ");
    json_str_add_s(&j, activity);
    json_str_add_s(&j, ")");
    json_str_close(&j);
    if (hsm_err_inner_code(err) != NULL) {
        json_name(&j, "innererror");
        json_obj_open(&j);
        json_name(&j, "code");
        json_put_str(&j, hsm_err_inner_code(err));
        json_obj_close(&j);
    }
    json_obj_close(&j);
    json_obj_close(&j);
}

hsm_err render_sd_file(struct bytes result, struct json_wr *j)
{
    struct wire_sd_file m;
    TRY(wire_sd_file_decode(result, &m));
    json_obj_open(j);
    json_name(j, "value");
    json_put_bytes(j, m.text);
    json_obj_close(j);
    return HSM_OK;
}

unsigned render_sd_status_of(struct bytes result)
{
    struct wire_sd_status m;
    return wire_sd_status_decode(result, &m) == HSM_OK ? m.status : SD_NONE;
}

hsm_err render_sd_status(struct bytes result, struct json_wr *j)
{
    const char *status = "Failed";
    const char *text = "The security domain operation failed.";
    struct wire_sd_status m;
    TRY(wire_sd_status_decode(result, &m));
    if (m.status == SD_SUCCESS) {
        status = "Success";
        text = "The resource is active.";
    } else if (m.status == SD_IN_PROGRESS) {
        status = "InProgress";
        text = "The Security Domain is being confirmed.";
    } else if (m.status != SD_FAILED) {
        return HSM_E_MALFORMED;
    }
    json_obj_open(j);
    json_name(j, "status");
    json_put_str(j, status);
    json_name(j, "statusDetails"); /* both spellings have readers */
    json_put_str(j, text);
    json_name(j, "status_details");
    json_put_str(j, text);
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_rng(struct bytes result, struct json_wr *j)
{
    struct wire_rng_result m;
    TRY(wire_rng_result_decode(result, &m));
    json_obj_open(j);
    json_name(j, "value");
    json_put_b64u(j, m.value);
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_setting(struct bytes result, struct json_wr *j)
{
    struct wire_setting m;
    TRY(wire_setting_decode(result, &m));
    json_obj_open(j);
    json_name(j, "name");
    json_put_bytes(j, m.name);
    json_name(j, "type");
    json_put_bytes(j, m.type);
    json_name(j, "value");
    json_put_bytes(j, m.value);
    json_obj_close(j);
    return HSM_OK;
}

hsm_err render_setting_list(struct bytes result, struct json_wr *j)
{
    struct wire_list_result m;
    struct bytes item;
    TRY(wire_list_result_decode(result, &m));
    json_obj_open(j);
    json_name(j, "settings");
    json_arr_open(j);
    while (wire_list_next(&m.items, &item))
        TRY(render_setting(item, j));
    json_arr_close(j);
    json_obj_close(j);
    return HSM_OK;
}
